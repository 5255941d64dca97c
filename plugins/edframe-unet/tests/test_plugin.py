"""The records of the plugin: light, conforming, and clear about bad options."""

from __future__ import annotations

import subprocess
import sys

import pytest
from edframe_unet.plugin import UNetConfig
from pydantic import ValidationError

from edframe.testing import checks, component

SMALL = {"widths": [4, 8], "blocks": [1, 1]}
FORM_OF_2018 = {"block": "plain", "activation": "relu", "down": "max", "skips": "concatenated", "output": "field"}
CHOICES = [
    ("unet", {}),
    ("unet", {**SMALL, **FORM_OF_2018, "dropout": 0.2}),
    ("unet", {**SMALL, "kernel": 5, "activation": "gelu", "down": "average", "up": "linear", "checkpointing": True}),
    ("resunet", {**SMALL, "channels_last": False}),
]


@pytest.mark.parametrize(("name", "config"), CHOICES, ids=str)
@pytest.mark.parametrize("check", checks("model"), ids=str)
def test_conformance(check, name, config) -> None:
    check(component("model", name, config))


def test_importing_the_plugin_imports_no_torch() -> None:
    code = "import sys, edframe_unet.plugin; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"widths": (4, 8), "blocks": (1,)}, "give one per level"),
        ({"widths": (0,), "blocks": (0,)}, "at least 1"),
        ({"dropout": 1.0}, "less than 1"),
        ({"depth": 3}, "Extra inputs"),
        ({"kernel": 4}, "3 or 5"),
    ],
)
def test_bad_options_are_refused(options, sentence) -> None:
    with pytest.raises(ValidationError, match=sentence):
        UNetConfig(**options)

"""The records of the plugin: light, conforming, and clear about bad options."""

from __future__ import annotations

import pytest
from edframe_krr.plugin import KRRConfig
from pydantic import ValidationError

from edframe.testing import checks, component


@pytest.mark.parametrize("config", [{}, {"components": 2, "density_cutoff": 5.0, "widths": [1.0]}], ids=str)
@pytest.mark.parametrize("check", checks("model"), ids=str)
def test_conformance(check, config) -> None:
    check(component("model", "krr", config))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"widths": ()}, "at least 1 item"),
        ({"regularisations": (0.0,)}, "greater than 0"),
        ({"components": 0}, "greater than or equal to 1"),
        ({"cutoff": 3}, "Extra inputs"),
    ],
)
def test_bad_options_are_refused(options, sentence) -> None:
    with pytest.raises(ValidationError, match=sentence):
        KRRConfig(**options)

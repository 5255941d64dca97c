"""The loss as a plugin: its unit, its options, its example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from edframe_sinkhorn.loss import SinkhornLoss
from edframe_sinkhorn.plugin import SinkhornConfig
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("options", "unit"),
    [({}, "Å²"), ({"scale": "total"}, "e·Å²"), ({"p": 1}, "Å"), ({"p": 1, "scale": "total"}, "e·Å")],
)
def test_the_unit_follows_the_options(options, unit):
    assert SinkhornLoss(SinkhornConfig(**options)).unit == unit


@pytest.mark.parametrize(
    "options",
    [
        {"blur": 0},
        {"blur": -0.1},
        {"blur": float("nan")},
        {"tol": 0},
        {"tol": 1},
        {"max_iterations": 0},
        {"reach": 0},
        {"reach": float("inf")},
        {"mass": "unbalanced"},
        {"mass": "conserved"},
        {"scale": "mean"},
        {"p": 3},
        {"backend": "dense"},
        {"blurr": 1.0},
    ],
    ids=str,
)
def test_options_are_validated(options):
    with pytest.raises(ValidationError):
        SinkhornConfig(**options)


def test_importing_the_plugin_imports_no_torch():
    code = "import sys, edframe_sinkhorn, edframe_sinkhorn.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_in_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    exec(example, {})

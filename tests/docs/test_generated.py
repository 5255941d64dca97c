"""Pages that are written by docs/generate.py are what it writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["configuration", "cli"])
def test_page_equals_what_is_generated(generate, page):
    written = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert written == getattr(generate, page)(), f"docs/{page}.md is out of date: run `python docs/generate.py`"


def test_configuration_has_every_key_of_a_resolved_experiment(generate, edframe):
    """``edframe config show`` knows the keys by another way."""
    import yaml

    experiment = yaml.safe_load(edframe("config", "show").out)
    keys = {f"{a}.{b}" for a, block in experiment.items() if isinstance(block, dict) for b in block if b != "name"}
    keys |= {key for key, value in experiment.items() if not isinstance(value, dict)}
    page = generate.configuration()
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []

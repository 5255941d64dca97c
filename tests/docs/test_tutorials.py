"""The tutorials run from an empty folder, and their notebooks are what they say."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
PAGES = sorted(FOLDER.glob("*.md"))
NEEDED = {"own-restart": "pw.x"}
"""Programs that are no part of the Python environment; .ci/run installs them."""

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def notebooks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("notebooks")


def test_the_notebook_is_that_of_the_page_and_was_run_to_its_end(page, notebooks):
    kept = json.loads(page.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    wanted = notebooks.notebook(page).cells
    update = f"run `python docs/tutorials/notebooks.py {page.stem}`"
    assert ["".join(cell["source"]) for cell in kept] == [cell["source"] for cell in wanted], update
    code = [cell for cell in kept if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert [output for output in outputs if output["output_type"] == "error"] == []
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert not any(place in text for place in ("\x1b", "/home/", "/root/", "/tmp/", "/work/"))


@pytest.mark.slow
def test_the_tutorial_runs_from_an_empty_folder(page, notebooks, tmp_path):
    program = NEEDED.get(page.stem)
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    made = notebooks.executed(page, tmp_path)  # raises for a cell that fails
    assert sum(bool(cell.get("outputs")) for cell in made.cells) > 2

"""The tutorials as executed notebooks: their code in order, from an empty folder, with what it prints and draws.

    python docs/tutorials/notebooks.py [NAME ...]

The Markdown is the source. ``tests/docs/test_tutorials.py`` holds the notebooks to it and executes them again.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
HEAD = """\
---
jupyter:
  kernelspec:
    display_name: Python 3
    language: python
    name: python3
---
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours, which a page cannot show."""


def notebook(page: Path) -> nbformat.NotebookNode:
    """The cells of a tutorial, without outputs; a block of bash is a cell that stops at the first error."""
    made = jupytext.reads(f"{HEAD}{page.read_text(encoding='utf-8')}", fmt="md")
    for number, cell in enumerate(made.cells):
        cell["id"] = f"{page.stem}-{number}"
        cell["source"] = re.sub(r"^%%bash$", "%%bash -e", cell["source"], count=1, flags=re.MULTILINE)
    made.metadata.pop("jupytext", None)
    return made


def executed(page: Path, folder: Path) -> nbformat.NotebookNode:
    """The same with outputs, run in ``folder``. Raises CellExecutionError for a cell that fails."""
    made = notebook(page)
    client = NotebookClient(made, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
                            record_timing=False, coalesce_streams=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        client.execute(env={**environment(Path(place)), "EDFRAME_CACHE": str(folder / "cache")})
    for cell in made.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = CONTROL.sub("", output["text"]).replace(f"{folder}/", "")
    return made


def environment(folder: Path) -> dict[str, str]:
    """Variables of the kernel. What a tutorial installs goes into an environment in ``folder``, on top of this one."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "below.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for command, module in {"edframe": "edframe", "pip": "pip", "pytest": "pytest"}.items():
        script = folder / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ, "PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "COLUMNS": "100",
        "PYTHONWARNINGS": "ignore", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_QUIET": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore",
    }  # fmt: skip


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(page.stem for page in FOLDER.glob("*.md")):
        with tempfile.TemporaryDirectory() as empty:
            result = executed(FOLDER / f"{name}.md", Path(empty))
        nbformat.write(result, FOLDER / f"{name}.ipynb")

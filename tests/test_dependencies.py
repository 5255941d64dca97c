"""Each distribution declares what it imports, with the bound that the others state too."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = {
    path: tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    for path in (ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml")))
}

CARRIED = {"dask": "distributed", "pydantic-core": "pydantic", "mlflow-skinny": "mlflow"}
"""Distributions that come with another one, of which they are a part."""


def requirements(project):
    """Name and bound of all dependencies, with those of the extras."""
    extras = [text for texts in project.get("optional-dependencies", {}).values() for text in texts]
    for text in [*project["dependencies"], *extras]:
        name, bound = re.fullmatch(r"([\w.-]+)(?:\[.*\])?(.*)", text).groups()
        yield normalised(name), bound


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(path):
    """Top-level names of all modules that the sources import when they run."""
    sources = path.parent / "src" if (path.parent / "src").exists() else ROOT / "edframe"
    for source in sources.rglob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
        skipped = {
            id(inner) for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING" for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) not in skipped and isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif id(node) not in skipped and isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_what_is_imported_is_declared(path):
    project, known = PROJECTS[path], packages_distributions()
    declared = {name for name, _ in requirements(project)} | {project["name"]}
    declared |= {part for part, whole in CARRIED.items() if whole in declared or part in declared}
    used = set(imports(path)) - set(sys.stdlib_module_names)
    assert {
        name for name in used if not {normalised(known_as) for known_as in known.get(name, [name])} & declared
    } == set()


def test_every_distribution_states_the_same_bound():
    bounds = {}
    for project in PROJECTS.values():
        for name, bound in requirements(project):
            bounds.setdefault(name, set()).add(bound)
    own = {project["name"] for project in PROJECTS.values()}
    assert {name: stated for name, stated in bounds.items() if len(stated) > 1 and name not in own} == {}

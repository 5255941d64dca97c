"""Commands of the front pages, and the recipes in configs/, executed on data and models made tiny."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edframe.comparison.plan import comparison
from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.runs.directory import Run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "install.md", ROOT / "docs" / "running.md"]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

INSTALLATION = {
    "make run",
    "make test",
    "make install",
    "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install",
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install -c constraints.txt -r requirements.txt",
    "pip install torch --index-url https://download.pytorch.org/whl/cpu",
}
"""Commands that are not run here: `make test` is what runs this."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


LINES = [line.strip() for block in blocks("bash") for line in block.splitlines() if line.strip()]
COMMANDS = [line for line in LINES if line.startswith("edframe ")]
RECIPES = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
COMPARISONS = sorted(path.name for path in (ROOT / "configs" / "comparisons").iterdir())


def test_all_other_commands_are_those_of_installation():
    others = {shlex.join(shlex.split(line, comments=True)) for line in LINES if not line.startswith("edframe ")}
    assert others == {shlex.join(shlex.split(line)) for line in INSTALLATION}


def test_the_pages_show_each_command_group():
    shown = {line.split()[1] for line in COMMANDS}
    assert shown == {"run", "report", "predict", "plugins", "data", "config", "tune", "compare", "show", "charges"}


@pytest.fixture
def experiment_file(workplace):
    """The YAML file of the page on running, in the working directory."""
    (content,) = blocks("yaml")
    name = re.match(r"# (\S+\.yaml)\n", content).group(1)
    Path(name).write_text(content, encoding="utf-8")
    return name


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_a_page_succeeds(line, edframe, tiny_command, workplace, experiment_file, monkeypatch):
    if "--" in line:  # most of a tiny run's time is its report, which the commands without options write
        monkeypatch.setattr("edframe.runs.execute.write_report", lambda path: path / "report.html")
    words = tiny_command(line, workplace)
    if "predicted.cube" in words and words[0] != "predict":  # written by the command before it
        (before,) = (other for other in COMMANDS if other.startswith("edframe predict"))
        assert edframe(*tiny_command(before, workplace)).code == 0
    result = edframe(*words)
    assert result.code == 0, result.err
    runs = [path.parent for path in Path("runs").rglob("provenance.json") if path.parent != workplace]
    assert all(Run(path).provenance()["status"] == "finished" for path in runs)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs(name, edframe, tiny_command, workplace):
    result = edframe(*tiny_command(f"edframe run configs/{name}", workplace))
    assert (result.code, result.err) == (0, "")
    (made,) = (path for path in Path("runs").iterdir() if path != workplace)
    assert (made / "report.html").stat().st_size > 0


@pytest.mark.parametrize("name", RECIPES)
def test_commands_in_the_comments_of_a_recipe_are_valid(name, edframe, workplace):
    commented = re.findall(r"^#\s+(edframe run .*)$", (ROOT / "configs" / name).read_text(), flags=re.MULTILINE)
    assert f"edframe run configs/{name}" in commented[0]
    for line in commented:
        assert edframe("config", "show", *shlex.split(line)[2:]).code == 0


@pytest.mark.parametrize("name", COMPARISONS)
def test_recipe_of_a_comparison_is_valid_and_says_how_many_runs_it_has(name):
    recipe = ROOT / "configs" / "comparisons" / name
    registry = Registry.discover()
    layers, _ = merge(recipe)
    section = layers.values.pop("compare")
    runs = comparison(validate(layers, registry), section, [], registry).runs(registry)
    text = recipe.read_text(encoding="utf-8")
    assert f"#     edframe compare configs/comparisons/{name}" in text
    assert f"{len(runs)} runs" in text.partition("\n\n")[0].replace("\n# ", " ")


def test_each_recipe_is_named():
    assert [name for name in RECIPES if f"configs/{name}" not in TEXT] == []
    assert [name for name in COMPARISONS if f"configs/comparisons/{name}" not in TEXT] == []

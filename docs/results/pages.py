"""What the scripts of this folder share: they read comparisons, and fill the marked places of a page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edframe.cli.progress import progress
from edframe.comparison.carry_out import fingerprints, kept
from edframe.comparison.outcome import Outcome
from edframe.comparison.plan import Comparison, Planned, comparison
from edframe.config.experiment import SECTION
from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.files import whole

ROOT = Path(__file__).parents[2]
RECIPES, RUNS = ROOT / "configs" / "comparisons", ROOT / "runs" / "compared"


def edframe(*arguments: str) -> None:
    """A command, run to its end; when it fails, this process ends as it did. Ctrl-C is the command's, which keeps what
    is done and says how to go on."""
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.call([sys.executable, "-m", "edframe", *arguments], cwd=ROOT)
    signal.signal(signal.SIGINT, handler)
    if code:
        sys.exit(code)


def compared(recipe: str) -> Comparison:
    """What a recipe of ``configs/comparisons`` compares."""
    registry = Registry.discover()
    layers, _ = merge(RECIPES / f"{recipe}.yaml")
    section = layers.values.pop(SECTION)
    return comparison(validate(layers, registry), section, [], registry)


def finished(recipe: str, runs: Path) -> list[tuple[Planned, Outcome]]:
    """The finished runs of a recipe, in the folder of runs; says how those are made that are not there."""
    registry = Registry.discover()
    plans = compared(recipe).runs(registry)
    done: list[tuple[Planned, Outcome]] = []
    missing = plans
    if runs.is_dir():  # or else there is no reason to make the densities
        done, missing = kept(plans, fingerprints(plans, registry, progress), runs)
    if missing:
        print(f"{recipe}: {len(done)} of {len(plans)} runs are finished in {runs}; "
              f"`edframe compare configs/comparisons/{recipe}.yaml` makes the others")  # fmt: skip
    return done


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON; none where it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def record(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def summary(path: Path) -> dict[str, Any]:
    """What a file of JSON has by name; nothing where it is not there."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def keep(path: Path, **values: Any) -> None:
    """Put values into such a file, beside the others."""
    with whole(path) as file:
        file.write((json.dumps({**summary(path), **values}, indent=1, ensure_ascii=False) + "\n").encode())


def head(*titles: str) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"{page.name} has no place for '{name}'")
    page.write_text(before + begin + text + end + after, encoding="utf-8")

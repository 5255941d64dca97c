"""Facts of all runs and comparisons in a folder, for tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edframe.errors import RunError
from edframe.runs.directory import Run
from edframe.runs.events import Results, Validation

COLUMNS = ("nmae", "data", "featurizer", "model", "loss", "seed", "fold", "time", "status", "started", "run")
"""nmae: mean over the test samples in %; None before the evaluation. time: seconds spent in all sessions. run: where it
is, from the folder that was searched."""
COMPARED = ("comparison", "compared", "variants", "conditions", "runs", "lowest", "nmae", "written")
"""compared: the key that differs between the variants. lowest: the variant of the lowest mean NMAE over all of its
samples, and that mean in %; None before the comparison is finished."""
DEPTH = 4
"""Levels of folders that are searched."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """One row, by COLUMNS and with its ``path``, for each run directory below ``folder``; a damaged one is left out."""
    rows = []
    for path in _holding("config.yaml", folder):
        try:
            run = Run.open(path)
            config, about, events = run.config(), run.provenance(), run.events()
        except (RunError, OSError):
            continue
        results = next((event for event in events if isinstance(event, Results)), None)
        rows.append(
            {
                "path": path,
                "run": str(path.relative_to(folder)),
                "status": about.get("status"),
                **{block: config.get(block, {}).get("name") for block in ("data", "featurizer", "model", "loss")},
                "seed": config.get("seed"),
                "fold": config.get("splits", {}).get("fold"),
                "nmae": results.metrics["nmae"].mean if results else None,
                "time": about.get("seconds"),
                "started": about.get("started"),
            }
        )
    return rows


def compared(folder: Path) -> list[dict[str, Any]]:
    """One row, by COMPARED and with its ``path``, for each comparison below ``folder``; a damaged one is left out."""
    rows = []
    for path in _holding("compare.yaml", folder):
        try:
            axes = dict(yaml.safe_load((path / "compare.yaml").read_text(encoding="utf-8"))["compare"])
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            continue
        repeats = int(axes.pop("seeds", 1)) * int(axes.pop("folds", 1))
        axes.pop("seconds", None)
        if not axes:
            continue
        (key, variants), *conditions = axes.items()
        count = int(np.prod([len(values) for _, values in conditions]))
        errors = _errors(path / "compare.csv")
        lowest = min(errors, key=lambda variant: errors[variant], default=None)
        written = (path / "compare.html").stat().st_mtime if (path / "compare.html").exists() else None
        rows.append(
            {
                "path": path,
                "comparison": str(path.relative_to(folder)),
                "compared": key,
                "variants": ", ".join(map(str, variants)),
                "conditions": ", ".join(name for name, _ in conditions) or None,
                "runs": len(variants) * count * repeats,
                "lowest": lowest,
                "nmae": errors[lowest] if lowest is not None else None,
                "written": written and datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"),
            }
        )
    return rows


def validations(path: Path) -> list[Validation]:
    """The validations of a run, by step."""
    by_step = {event.step: event for event in Run.open(path).events() if isinstance(event, Validation)}
    return [by_step[step] for step in sorted(by_step)]


def _holding(name: str, folder: Path) -> Iterator[Path]:
    """Folders of ``folder`` that hold a file ``name``; nothing below them is searched."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if here != folder and name in files:
            yield here
            folders.clear()
        elif len(here.relative_to(folder).parts) >= DEPTH:
            folders.clear()
        folders[:] = sorted(each for each in folders if not each.startswith(".") and not each.endswith(".zarr"))


def _errors(table: Path) -> dict[str, float]:
    """Mean NMAE of each variant in the table of a comparison; nothing where there is no such table."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        values: dict[str, list[float]] = {}
        for row in rows:
            values.setdefault(row["variant"], []).append(float(row["nmae"]))
    except (OSError, KeyError, ValueError):
        return {}
    return {variant: float(np.mean(each)) for variant, each in values.items()}

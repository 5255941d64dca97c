"""Facts of all runs in a folder, for tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edframe.errors import RunError
from edframe.runs.directory import Run
from edframe.runs.events import Results

COLUMNS = ("nmae", "data", "featurizer", "model", "loss", "seed", "fold", "seconds", "status", "started", "run")
"""nmae: mean over the test samples in %; None before the evaluation. seconds: spent in all sessions."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """One row, by COLUMNS, for each run directory in ``folder``; what is no run, or is damaged, is left out."""
    rows = []
    for path in sorted(entry for entry in folder.glob("*") if (entry / "config.yaml").is_file()):
        try:
            run = Run.open(path)
            config, about, events = run.config(), run.provenance(), run.events()
        except (RunError, OSError):
            continue
        results = next((event for event in events if isinstance(event, Results)), None)
        rows.append(
            {
                "run": path.name,
                "status": about.get("status"),
                **{block: config.get(block, {}).get("name") for block in ("data", "featurizer", "model", "loss")},
                "seed": config.get("seed"),
                "fold": config.get("splits", {}).get("fold"),
                "nmae": results.metrics["nmae"].mean if results else None,
                "seconds": about.get("seconds"),
                "started": about.get("started"),
            }
        )
    return rows

"""The report of a run: one self-contained page, its figures and its references, from what is on disk only."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: Path) -> Path:
    """Write ``report.html``, ``figures/*.png`` and ``references.bib`` in ``run_dir``; return the page's path.

    What a run does not have (validation, predictions, a baseline) is left out, with a sentence that says so.
    Raises RunError when ``config.yaml`` or ``metrics.jsonl`` is missing or cannot be read.
    """
    from edframe.report.page import build  # matplotlib and jinja2 are imported only when a report is written

    return build(Path(run_dir))

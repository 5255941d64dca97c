"""``edframe report``: write a run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli.signals import raise_interrupts


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]) -> None:
    """Write report.html, its figures and references.bib again, from what is in the run directory."""
    from edframe.report import write_report
    from edframe.runs.directory import Run

    raise_interrupts()
    typer.echo(write_report(Run.open(run).path))

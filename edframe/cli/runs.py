"""``edframe runs``: all runs in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run directories.")] = Path("runs"),
    sort: Annotated[str, typer.Option("--sort", metavar="COLUMN", help="nmae, started, model, loss, …")] = "started",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="COLUMN=VALUE", help="Rows with this value. May be repeated.")
    ] = None,
) -> None:
    """List runs: what they trained, on what, and how well.

    Example:

      edframe runs --only data=li-o-li --sort nmae
    """
    from edframe.contract.registry import suggest
    from edframe.errors import ConfigError
    from edframe.report.numbers import number
    from edframe.runs.listing import COLUMNS, listed

    if sort not in COLUMNS:
        raise ConfigError(f"--sort {sort}: there is no such column{suggest(sort, COLUMNS)}")
    rows = listed(folder)
    for condition in only or ():
        column, equals, value = condition.partition("=")
        if not equals or column not in COLUMNS:
            raise ConfigError(f"--only {condition}: write COLUMN=VALUE{suggest(column, COLUMNS)}")
        rows = [row for row in rows if str(row[column]) == value]
    rows.sort(key=lambda row: (row[sort] is None, row[sort]))
    if not rows:
        typer.echo(f"no runs in {folder}")
        return
    shown = [{**row, "nmae": number(row["nmae"], 3), "seconds": _whole(row["seconds"])} for row in rows]
    lines = [dict(zip(COLUMNS, COLUMNS, strict=True)), *shown]
    texts = [[str("–" if line[column] is None else line[column]) for column in COLUMNS] for line in lines]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(text, widths, strict=True)).rstrip())


def _whole(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.0f} s"

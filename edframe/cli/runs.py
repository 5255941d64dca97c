"""``edframe runs``: all runs and comparisons in tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edframe.cli import options

DEFAULT = (Path("runs"), Path("comparisons"))


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR]...", help="Folders that are searched; default: runs and comparisons."),
    ] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="COLUMN", help="nmae, started, model, loss, …")] = "started",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="COLUMN=VALUE", help="Rows with this value. May be repeated.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the table of runs and their curves as a page.")
    ] = None,
    force: options.Force = False,
) -> None:
    """List runs: what they trained, on what, and how well; and comparisons: what they compared, and what was lowest.

    Runs of comparisons are found below `runs`, too.

    Examples:

      edframe runs --only data=li-o-li --sort nmae

      edframe runs --only loss=l2 --html l2.html
    """
    from edframe.contract.registry import suggest
    from edframe.errors import ConfigError
    from edframe.report.numbers import duration, number
    from edframe.runs.listing import COLUMNS, COMPARED, compared, listed

    if sort not in COLUMNS:
        raise ConfigError(f"--sort {sort}: there is no such column{suggest(sort, COLUMNS)}")
    if page is not None:
        options.refuse_to_overwrite([page], force)
    searched = folders or [folder for folder in DEFAULT if folder.is_dir()]
    if absent := [str(folder) for folder in searched if not folder.is_dir()]:
        raise ConfigError(f"{absent[0]} is no folder; give one that holds runs or comparisons")
    rows = [row for folder in searched for row in listed(folder)]
    comparisons = [] if only else [row for folder in searched for row in compared(folder)]
    for condition in only or ():
        column, equals, value = condition.partition("=")
        if not equals or column not in COLUMNS:
            raise ConfigError(f"--only {condition}: write COLUMN=VALUE{suggest(column, COLUMNS)}")
        rows = [row for row in rows if str(row[column]) == value]
    rows.sort(key=lambda row: (row[sort] is None, row[sort]))
    shown = [
        {
            **row,
            "nmae": number(row["nmae"], 3),
            "time": duration(row["time"]),
            "started": str(row["started"] or "–")[:16].replace("T", " "),
        }
        for row in rows
    ]
    if not rows and not comparisons:
        typer.echo(f"no runs in {', '.join(map(str, searched or DEFAULT))}")
    if rows:
        _table(COLUMNS, shown)
    if comparisons:
        if rows:
            typer.echo()
        _table(COMPARED, [{**row, "nmae": number(row["nmae"], 3)} for row in comparisons])
    if page is not None:
        from edframe.io.files import replacing
        from edframe.report.overview import overview

        texts = [_texts(row, COLUMNS) for row in shown]
        text = overview(
            f"{len(rows)} runs" if len(rows) != 1 else "One run",
            COLUMNS,
            rows,
            texts,
            [_report(row["path"], page) for row in rows],
        )
        with replacing(page) as file:
            file.write(text.encode())
        typer.echo(page)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    texts = [list(columns), *(_texts(row, columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(text, widths, strict=True)).rstrip())


def _texts(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [str("–" if row[column] is None else row[column]) for column in columns]


def _report(run: Path, page: Path) -> str | None:
    report = run / "report.html"
    return Path(os.path.relpath(report.resolve(), page.resolve().parent)).as_posix() if report.exists() else None

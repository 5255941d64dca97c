"""``edframe ensemble``: finished runs that differ in their seed, as one model that knows its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edframe.cli import options
from edframe.cli.progress import progress
from edframe.cli.signals import raise_interrupts
from edframe.errors import RunError


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs that differ in seed alone.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder to make; default: the first run's name with '-ensemble'."),
    ] = None,
    device: options.Device = None,
) -> None:
    """Join runs that differ in their seed to an ensemble, and measure how well its spread predicts its error.

    The spread is scaled by one factor, found on the validation samples; every figure is for the test samples. The
    folder has them in ensemble.json and calibration.png; `edframe predict` accepts it in place of a run.

    Example:

      edframe ensemble runs/20260101T120000Z-li-o-li-unet-l1-* --out ensemble
    """
    target = out or runs[0].with_name(f"{runs[0].resolve().name}-ensemble")
    if target.exists():
        raise RunError(f"{target} is there already; choose another folder by --out, or remove it")
    from edframe.contract.registry import Registry
    from edframe.predict.ensemble import calibrate, open_members, write
    from edframe.runs.build import build, device_for

    raise_interrupts()
    members = open_members(runs)
    registry = Registry.discover()
    experiment = options.resolved(registry, members[0].path / "config.yaml", {}, device=device)
    where = device_for(experiment)
    with progress(f"{experiment.data.name}: densities") as advance:
        parts = build(experiment, registry, advance)
    with progress("predictions") as advance:
        facts = calibrate(members, parts, where, advance)
    write(target, members, facts, parts.dataset.contents.dimension)
    _show(facts)
    typer.echo(f"{target}: {len(members)} members")


def _show(facts: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    test = facts["test"]
    each = test["members_nmae"]
    share = test["coverage"]
    rank = "–" if test["spearman"] is None else f"{test['spearman']:.2f}"
    table = Table(title=f"{test['samples']} test samples", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("calibration")
    table.add_column("", justify="right")
    for name, value in (
        ("NMAE of the mean", f"{test['nmae']:.3g} %"),
        ("NMAE of the members, mean", f"{sum(each) / len(each):.3g} %"),
        ("expected NMAE", f"{test['expected_nmae']:.3g} %"),
        ("rank correlation of the two (Spearman)", rank),
        (f"factor of the spread, from {facts['validation']['samples']} validation samples", f"{facts['factor']:.3g}"),
        ("expected normalised calibration error", f"{test['ence']:.2g}"),
        ("… before the factor", f"{test['ence_uncalibrated']:.2g}"),
        ("electrons within 1, 2, 3 σ", ", ".join(f"{100 * share[k]:.1f}" for k in "123") + " %"),
        ("… of a Gaussian", "68.3, 95.4, 99.7 %"),
    ):
        table.add_row(name, value)
    Console(highlight=False).print(table)

"""``edframe bands``: the bands of a density, without an SCF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli import options
from edframe.cli.restart import density_for


def bands(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|DENSITY", help="Run directory of a trained model or an ensemble, or a file with a density."
        ),
    ],
    input: Annotated[Path, typer.Argument(metavar="INPUT", help="Input of pw.x with calculation = 'bands' or 'nscf'.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for all files.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Use a density of another functional or pseudopotential.")
    ] = False,
    force: options.Force = False,
) -> None:
    """Compute bands by Quantum ESPRESSO at a fixed, predicted density.

    pw.x makes no SCF: each k-point of the input is diagonalised once in the potential of the density. The energies are
    written to bands.csv in DIR, a row for each k-point. They have the error of the density, to first order; its size in
    eV is estimated from the Coulomb error of the model on its validation samples.

    Example:

      edframe bands runs/20260101T120000Z-qe-unet-l1-1a2b3c bands.in --out bands
    """
    from edframe.io.files import replacing
    from edframe.restart import code_of
    from edframe.restart.bands import bands as computed
    from edframe.restart.bands import expected_error

    table = out / "bands.csv"
    options.refuse_to_overwrite([table], force)
    code = code_of("qe")
    needs = code.needs(input, out, may_run=True)
    density, notes, start = density_for(source, needs, anyway)
    seconds = start.seconds
    for note in notes:
        typer.secho(f"Note: {note}.", err=True)
    found = computed(density, input, out)
    head = ",".join(["kx", "ky", "kz", *(f"band_{n}" for n in range(1, found.energies.shape[1] + 1))])
    rows = [
        ",".join([*(f"{x:.6f}" for x in point), *(f"{e:.6f}" for e in energies)])
        for point, energies in zip(found.points.tolist(), found.energies.tolist(), strict=True)
    ]
    with replacing(table) as file:
        file.write(("\n".join([head, *rows]) + "\n").encode())
    predicted = f", and {seconds:.1f} s for the prediction" if seconds else ""
    typer.echo(f"{table}: {found.energies.shape[1]} bands (eV) at {len(found.points)} k-points (2π/alat), "
               f"{found.seconds:.1f} s of the processor{predicted}")  # fmt: skip
    if found.gap is not None:
        low, high = found.gap
        typer.echo(f"highest filled {low:.4f} eV, lowest empty {high:.4f} eV, gap {high - low:.4f} eV")
    typer.echo(expected_error(start.coulomb))

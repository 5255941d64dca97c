"""``edframe bands``: the bands of a density and their density of states, without an SCF."""

from __future__ import annotations

from collections.abc import Iterable
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
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Input of pw.x with calculation = 'bands' or 'nscf', or a script of PySCF that makes the mean field "
            "`mf` and the k-points `kpts_band`.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for all files.")],
    dos: Annotated[
        float | None,
        typer.Option(
            "--dos",
            metavar="WIDTH",
            help="Write also the density of states, by a Gaussian of this width (eV) at each energy.",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Use a density of another functional or pseudopotential.")
    ] = False,
    force: options.Force = False,
) -> None:
    """Compute bands and densities of states at a fixed, predicted density, by Quantum ESPRESSO or PySCF.

    No SCF is made: each k-point of the input is diagonalised once in the potential of the density. The energies are
    written to bands.csv in DIR, a row for each k-point. They have the error of the density, to first order; its size in
    eV is estimated from the Coulomb error of the model on its validation samples.

    With --dos, dos.csv has the states per eV and their integral, and the Fermi energy is said. The k-points are then a
    mesh: calculation = 'nscf' with K_POINTS automatic for pw.x, kpts_band = cell.make_kpts(…) for PySCF. WIDTH is
    degauss of dos.x in eV; for tetrahedra run dos.x itself in DIR.

    Examples:

      edframe bands runs/20260101T120000Z-qe-unet-l1-1a2b3c bands.in --out bands

      edframe bands density.cube nscf.in --out dos --dos 0.1

      edframe bands density.cube silicon.py --out bands
    """
    from edframe.restart.bands import bands as computed
    from edframe.restart.bands import expected_error
    from edframe.restart.code import Code
    from edframe.restart.dos import states
    from edframe.restart.espresso import Espresso
    from edframe.restart.outlook import kind_of
    from edframe.restart.pyscf import PySCF
    from edframe.restart.pyscf_bands import of_script

    table, dos_table = out / "bands.csv", out / "dos.csv"
    options.refuse_to_overwrite([table] if dos is None else [table, dos_table], force)
    script = PySCF() if input.suffix == ".py" else None
    code: Code = script or Espresso()
    needs = code.needs(input, out, may_run=True)
    density, notes, start = density_for(source, needs, anyway)
    for note in notes:
        typer.secho(f"Note: {note}.", err=True)
    made = of_script(density, input, script) if script else computed(density, input, out)
    made_states = None if dos is None else states(made, dos)
    head = ["kx", "ky", "kz", *(f"band_{n}" for n in range(1, made.energies.shape[1] + 1))]
    _write(table, head, ([*point, *each] for point, each in zip(made.points, made.energies, strict=True)))
    predicted = f", and {start.seconds:.1f} s for the prediction" if start.seconds else ""
    typer.echo(f"{table}: {made.energies.shape[1]} bands (eV) at {len(made.points)} k-points ({made.unit}), "
               f"{made.seconds:.1f} s of the processor{predicted}")  # fmt: skip
    if made.gap is not None:
        low, high = made.gap
        typer.echo(f"highest filled {low:.4f} eV, lowest empty {high:.4f} eV, gap {high - low:.4f} eV")
    if made_states is not None:
        columns = (made_states.energies, made_states.density, made_states.count)
        _write(dos_table, ["energy", "states_per_ev", "states_below"], zip(*columns, strict=True))
        typer.echo(f"{dos_table}: states per eV and cell, both spins, at {len(made_states.energies)} energies, width "
                   f"{dos:g} eV; Fermi energy {made_states.fermi:.4f} eV")  # fmt: skip
    typer.echo(expected_error(start.coulomb, kind_of(needs.structure, density)))


def _write(path: Path, head: list[str], rows: Iterable[Iterable[float]]) -> None:
    """A table; its folder is made."""
    from edframe.io.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(head), *(",".join(f"{value:.6f}" for value in row) for row in rows)]
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())

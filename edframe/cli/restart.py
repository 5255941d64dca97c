"""``edframe restart``: a density as the start of a DFT calculation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edframe.cli import options
from edframe.errors import DataError
from edframe.restart import CODES

if TYPE_CHECKING:
    from edframe.io.volume import Volume
    from edframe.restart.code import Needs
    from edframe.restart.start import Start


def restart(
    code: Annotated[str, typer.Argument(metavar="CODE", help=f"{', '.join(CODES)}.")],
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
            help="Input file of the calculation; vasp: its folder; pyscf: a script that makes the mean field `mf`.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for all files; default: where the input has its own."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the code, and report iterations and time.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Use a density of another functional or pseudopotential.")
    ] = False,
    force: options.Force = False,
) -> None:
    """Start a DFT calculation from a predicted density, or from one in a file.

    Writes the density as the code reads it, beside a copy of the input with the variables that make the code read it.
    The density is interpolated to the grid of the calculation and scaled to its electrons. What to expect is said
    beforehand, by the electrostatic energy of the model's error on its validation samples and from measurements on the
    same kind of system: a restart does not always save time.

    A density belongs to its functional and pseudopotentials. One that is known to be of others is refused.

    Examples:

      edframe restart qe runs/20260101T120000Z-qe-unet-l1-1a2b3c scf.in --out restart --run

      edframe restart qe density.cube scf.in

      edframe restart pyscf density.cube li2o.py --run
    """
    from edframe.restart import code_of
    from edframe.restart.outlook import kind_of, outlook

    chosen = code_of(code)
    needs = chosen.needs(input, out, may_run=run)
    density, notes, start = density_for(source, needs, anyway)
    seconds = start.seconds
    typer.echo(f"{input}: {needs.electrons:g} electrons in {needs.structure.formula} on "
               f"{'×'.join(map(str, density.grid.shape))} points, {chosen.title}")  # fmt: skip
    typer.echo(f"Outlook: {outlook(chosen.name, kind_of(needs.structure, density), start.coulomb, start.low_g)}.")
    written = chosen.write(density, input, out, may_run=run, force=force)
    for note in (*notes, *written.notes):
        typer.secho(f"Note: {note}.", err=True)
    for file in written.files:
        typer.echo(file)
    changes = ", ".join(f"{name} = {value}" for name, value in written.changes.items())
    typer.echo(f"{written.input}: {input.name} with {changes}; to be run in {written.folder}")
    if run:
        outcome = chosen.run(written)
        spent = f", and {seconds:.1f} s for the prediction" if seconds else ""
        typer.echo(f"{chosen.title} started from the density and converged in {outcome.iterations} iterations: "
                   f"{outcome.energies[-1]:.6f} eV, {outcome.seconds:.1f} s of the processor{spent}")  # fmt: skip


def density_for(source: Path, needs: Needs, anyway: bool) -> tuple[Volume, tuple[str, ...], Start]:
    """The density of a run or a file as a calculation needs it, what is to be said of it, and what it was
    made from.

    Raises DataError for one of another level, unless ``anyway``.
    """
    from edframe.restart.start import contradiction, fitted, refusal

    start = _start(source, needs)
    if not anyway and (why := refusal(start, needs, str(source))):
        raise DataError(why)
    density, notes = fitted(start, needs, str(source))
    if differing := contradiction(start, needs):
        notes = (f"used anyway, although {source} belongs to {differing}", *notes)
    if not anyway and not start.level.known:
        unknown = (
            f"the functional and the pseudopotentials of {source} are not known, and not compared with the input's"
        )
        notes = (unknown, *notes)
    return density, notes, start


def _start(source: Path, needs: Needs) -> Start:
    from edframe.predict.pretrained import located
    from edframe.restart.start import from_file, from_run

    place = source if source.exists() or source.suffix else located(source)
    return from_run(place, needs, "cpu") if place.is_dir() else from_file(place)

"""``edframe predict``: structure in, density out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edframe.cli import options
from edframe.errors import ConfigError, DataError

LARGEST = 10_000
"""Points along an axis that --grid takes."""


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a trained model, or an ensemble's.")],
    structure: Annotated[Path, typer.Argument(help="POSCAR, CIF, CHGCAR, cube, extended xyz, …, with a cell.")],
    file: Annotated[Path, typer.Argument(help="Density to write: CHGCAR…, ….cube or ….xsf, each also .gz.")],
    grid: Annotated[
        tuple[int, int, int] | None, typer.Option("--grid", metavar="N N N", help="Numbers of points of the density.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="FILE", help="As many points as this CHGCAR, cube, … has.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.01, help="Largest voxel edge, Å; default: the training data's.")
    ] = None,
    electrons: Annotated[
        float | None,
        typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms, less the charge."),
    ] = None,
    charge: Annotated[
        float | None,
        typer.Option(
            "--charge",
            help="Of the cell: so many electrons fewer than in the neutral atoms; default: that in an xyz file, or 0.",
        ),
    ] = None,
    symmetrise: Annotated[
        bool, typer.Option("--symmetrise", help="Average over the cell's symmetries: up to 48 times slower.")
    ] = False,
    spin: options.Spin = "total",
    device: options.Device = None,
) -> None:
    """Predict the electron density of a structure, and write it for VASP, VESTA or PySCF.

    A CHGCAR, cube or other file with a grid gets a density on the same points, unless --grid, --like or --spacing asks
    for others. A structure without a grid gets points by --spacing, multiples of 8, which are fastest.

    With --symmetrise, the density of a turned structure is the turned density, for every turn that maps the cell's grid
    onto itself; training with augmentation makes it nearly so.

    An ensemble, made by `edframe ensemble`, also writes the spread of its members, which is the standard deviation to
    expect at each point, into a second file, and says which NMAE to expect. A structure with atoms in surroundings
    that were not trained on is predicted with a warning.

    Of several frames (xyz, XDATCAR, traj, XSF), each is predicted, into FILE_0, FILE_1, …

    Example:

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR
    """
    from edframe import io
    from edframe.io.grids import points_of
    from edframe.io.spin import beside
    from edframe.io.structures import charge_of, has_occupancies, read_structures

    io.format_of(file)
    if charge is not None and electrons is not None:
        raise ConfigError("--electrons says how many there are, and --charge that they differ; give one of the two")
    frames = read_structures(structure)
    own = points_of(structure)
    shape = _asked(grid, like, spacing) or (own.shape if own and spacing is None else None)
    from edframe.contract.registry import Registry
    from edframe.data.conversion import volume_of
    from edframe.predict.ensemble import Ensemble, EnsemblePredictor
    from edframe.predict.predictor import Predictor
    from edframe.runs.build import fabric_for
    from edframe.runs.directory import Run

    registry = Registry.discover()
    ensemble = Ensemble.open(run) if Ensemble.at(run) else None
    trained = ensemble.members[0] if ensemble else Run.open(run)
    experiment = options.resolved(registry, trained.path / "config.yaml", {}, device=device)
    where = fabric_for(experiment).device
    single = None if ensemble else Predictor(trained, experiment, registry, where, symmetrise=symmetrise)
    members = EnsemblePredictor(ensemble, experiment, registry, where, symmetrise=symmetrise) if ensemble else None
    last = len(frames.structures) - 1
    for number, atoms in enumerate(frames.structures):
        target = beside(file, f"{number:0{len(str(last))}d}") if last else file
        spread, expected = None, 0.0
        excess = charge if charge is not None else charge_of(atoms) if electrons is None else 0.0
        if members is not None:
            sample, spread, expected = members(atoms, shape=shape, spacing=spacing, electrons=electrons, charge=excess)
            novelty = members.novelty(atoms)
        elif single is not None:
            sample = single(atoms, shape=shape, spacing=spacing, electrons=electrons, charge=excess)
            novelty = single.novelty(atoms)
        volume = replace(volume_of(sample), origin=own.origin if own else (0.0, 0.0, 0.0))
        written = io.write(target, volume, spin=spin)
        size = "×".join(map(str, sample.grid.shape))
        said = f" (charge {excess:+g})" if excess and charge is None else ""
        typer.echo(f"{', '.join(map(str, written))}: {sample.electrons:g} electrons{said} on {size} points")
        if ensemble is not None and spread is not None:
            comment = f"{atoms.formula}, standard deviation of a density predicted by edframe"
            fields = dict(zip(("total", "magnetisation"), spread, strict=False))
            place = beside(target, "spread")
            written = io.write(place, io.Volume(atoms, sample.grid, fields, comment=comment, origin=volume.origin))
            typer.echo(f"{', '.join(map(str, written))}: spread of {len(ensemble.members)} members; expected NMAE "
                       f"{expected:.3g} %")  # fmt: skip
        if novelty is not None and novelty.far:
            where_in = f"frame {number}: " if last else ""
            typer.secho(f"Warning: {where_in}{novelty}.", fg=typer.colors.YELLOW, err=True)
    for note in frames.notes:
        typer.secho(f"Note: {structure}: {note}.", err=True)
    if io.format_of(file) in ("chgcar", "vasp-h5") and has_occupancies(structure):
        typer.secho(f"Note: the PAW occupancies in {structure} are not those of the predicted density, and are left "
                    "out; VASP takes those of free atoms.", err=True)  # fmt: skip


def _asked(grid: tuple[int, int, int] | None, like: Path | None, spacing: float | None) -> tuple[int, ...] | None:
    """The numbers of points that are asked for; None where they are not."""
    from edframe.io.grids import points_of

    options = {"--grid": grid, "--like": like, "--spacing": spacing}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both choose the grid; give one of them")
    if grid is not None and not all(1 <= n <= LARGEST for n in grid):
        raise ConfigError(f"--grid {' '.join(map(str, grid))}: a grid has 1 to {LARGEST} points along an axis")
    if like is None:
        return grid
    if (other := points_of(like)) is None:
        raise DataError(f"--like {like} has no grid; give a CHGCAR, cube, … or numbers of points by --grid N N N")
    return other.shape

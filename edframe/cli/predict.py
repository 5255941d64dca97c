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
        float | None, typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms.")
    ] = None,
    charge: Annotated[
        float, typer.Option("--charge", help="Of the cell: so many electrons fewer than in the neutral atoms.")
    ] = 0.0,
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

    Example:

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR
    """
    from edframe import io
    from edframe.io.grids import points_of
    from edframe.io.spin import beside
    from edframe.io.structures import read_structure

    io.format_of(file)
    if charge and electrons is not None:
        raise ConfigError("--electrons says how many there are, and --charge that they differ; give one of the two")
    atoms = read_structure(structure)
    own = points_of(structure)
    shape = _asked(grid, like, spacing) or (own.shape if own and spacing is None else None)
    from edframe.contract.registry import Registry
    from edframe.data.conversion import volume_of
    from edframe.predict.ensemble import Ensemble, EnsemblePredictor
    from edframe.predict.predictor import Predictor
    from edframe.run.build import fabric_for
    from edframe.run.directory import Run

    registry = Registry.discover()
    ensemble = Ensemble.open(run) if Ensemble.at(run) else None
    trained = ensemble.members[0] if ensemble else Run.open(run)
    experiment = options.resolved(registry, trained.path / "config.yaml", {}, device=device)
    where = fabric_for(experiment).device
    if ensemble is None:
        predictor = Predictor(trained, experiment, registry, where, symmetrise=symmetrise)
        sample, spread = predictor(atoms, shape=shape, spacing=spacing, electrons=electrons, charge=charge), None
        novelty = predictor.novelty(atoms)
    else:
        members = EnsemblePredictor(ensemble, experiment, registry, where, symmetrise=symmetrise)
        sample, spread, expected = members(atoms, shape=shape, spacing=spacing, electrons=electrons, charge=charge)
        novelty = members.novelty(atoms)
    volume = replace(volume_of(sample), origin=own.origin if own else (0.0, 0.0, 0.0))
    written = io.write(file, volume, spin=spin)
    size = "×".join(map(str, sample.grid.shape))
    typer.echo(f"{', '.join(map(str, written))}: {sample.electrons:g} electrons on {size} points")
    if ensemble is not None and spread is not None:
        comment = f"{atoms.formula}, standard deviation of a density predicted by edframe"
        fields = dict(zip(("total", "magnetisation"), spread, strict=False))
        place = beside(file, "spread")
        written = io.write(place, io.Volume(atoms, sample.grid, fields, comment=comment, origin=volume.origin))
        typer.echo(
            f"{', '.join(map(str, written))}: spread of {len(ensemble.members)} members; expected NMAE {expected:.3g} %"
        )
    if novelty is not None and novelty.far:
        typer.secho(f"Warning: {novelty}.", fg=typer.colors.YELLOW, err=True)


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

"""``edframe predict``: structure in, density out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli import options


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a trained model, or an ensemble's.")],
    structure: Annotated[Path, typer.Argument(help="POSCAR, CIF, CHGCAR, cube, extended xyz, …, with a cell.")],
    file: Annotated[Path, typer.Argument(help="Density to write: CHGCAR…, ….cube or ….xsf, each also .gz.")],
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.01, help="Largest voxel edge, Å; default: the training data's.")
    ] = None,
    electrons: Annotated[
        float | None, typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms.")
    ] = None,
    symmetrise: Annotated[
        bool, typer.Option("--symmetrise", help="Average over the cell's symmetries: up to 48 times slower.")
    ] = False,
    device: options.Device = None,
) -> None:
    """Predict the electron density of a structure, and write it for VASP, VESTA or PySCF.

    With --symmetrise, the density of a turned structure is the turned density, for every turn that maps the cell's grid
    onto itself; training with augmentation makes it nearly so.

    An ensemble, made by `edframe ensemble`, also writes the spread of its members, which is the standard deviation to
    expect at each point, into a second file, and says which NMAE to expect. A structure with atoms in surroundings
    that were not trained on is predicted with a warning.

    Example:

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR
    """
    from edframe import io
    from edframe.io.structures import read_structure

    io.format_of(file)
    atoms = read_structure(structure)
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
        sample, spread = predictor(atoms, spacing=spacing, electrons=electrons), None
        novelty = predictor.novelty(atoms)
    else:
        members = EnsemblePredictor(ensemble, experiment, registry, where, symmetrise=symmetrise)
        sample, spread, expected = members(atoms, spacing=spacing, electrons=electrons)
        novelty = members.novelty(atoms)
    io.write(file, volume_of(sample))
    points = "×".join(map(str, sample.grid.shape))
    typer.echo(f"{file}: {sample.electrons:g} electrons on {points} points")
    if ensemble is not None and spread is not None:
        beside = _beside(file)
        comment = f"{atoms.formula}, standard deviation of a density predicted by edframe"
        fields = dict(zip(("total", "magnetisation"), spread, strict=False))
        io.write(beside, io.Volume(atoms, sample.grid, fields, comment=comment))
        typer.echo(f"{beside}: spread of {len(ensemble.members)} members; expected NMAE {expected:.3g} %")
    if novelty is not None and novelty.far:
        typer.secho(f"Warning: {novelty}.", fg=typer.colors.YELLOW, err=True)


def _beside(file: Path) -> Path:
    """The name for the spread of the density in ``file``, in the same format: CHGCAR_spread, Li_spread.cube.gz."""
    packed = file.suffix if file.suffix == ".gz" else ""
    name = file.name.removesuffix(packed)
    stem, dot, ending = name.rpartition(".")
    if ending.lower() in ("cube", "cub", "xsf", "vasp"):
        return file.with_name(f"{stem}_spread{dot}{ending}{packed}")
    return file.with_name(f"{name}_spread{packed}")

"""``edframe predict``: structure in, density out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edframe.cli import options


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a trained model.")],
    structure: Annotated[Path, typer.Argument(help="POSCAR, CIF, CHGCAR, cube, extended xyz, …, with a cell.")],
    file: Annotated[Path, typer.Argument(help="Density to write: CHGCAR…, ….cube or ….xsf, each also .gz.")],
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.01, help="Largest voxel edge, Å; default: the training data's.")
    ] = None,
    electrons: Annotated[
        float | None, typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms.")
    ] = None,
    device: options.Device = None,
) -> None:
    """Predict the electron density of a structure, and write it for VASP, VESTA or PySCF.

    Example:

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR
    """
    from edframe import io
    from edframe.io.structures import read_structure

    io.format_of(file)
    atoms = read_structure(structure)
    from edframe.data.conversion import volume_of
    from edframe.experiment import fabric_for
    from edframe.predictor import Predictor
    from edframe.registry import Registry
    from edframe.run import Run

    registry = Registry.discover()
    trained = Run.open(run)
    experiment = options.resolved(registry, run / "config.yaml", {}, device=device)
    predictor = Predictor(trained, experiment, registry, fabric_for(experiment).device)
    sample = predictor(atoms, spacing=spacing, electrons=electrons)
    io.write(file, volume_of(sample))
    points = "×".join(map(str, sample.grid.shape))
    typer.echo(f"{file}: {sample.electrons:g} electrons on {points} points")

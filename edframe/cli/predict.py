"""``edframe predict``: structures in, densities out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edframe.cli import options
from edframe.errors import ConfigError, DataError, EdframeError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.io.structures import Frames

LARGEST = 10_000
"""Points along an axis that --grid takes."""


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a trained model, or an ensemble's.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="STRUCTURE FILE",
            help="POSCAR, CIF, CHGCAR, cube, xyz, …, then the density to write: CHGCAR…, ….cube or ….xsf. With --out, "
            "any number of structures.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the densities of many structures.")
    ] = None,
    ending: Annotated[
        Literal["cube", "xsf", "vasp"], typer.Option("--format", help="Of the files in --out; vasp: as CHGCAR.")
    ] = "cube",
    grid: Annotated[
        tuple[int, int, int] | None, typer.Option("--grid", metavar="N N N", help="Numbers of points of the density.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="FILE", help="As many points as this CHGCAR, cube, … has.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.01, help="Largest voxel edge, Å; default: the training data's.")
    ] = None,
    vacuum: Annotated[
        float | None,
        typer.Option("--vacuum", help="Around a molecule without a cell, Å; default: as in the training data."),
    ] = None,
    electrons: Annotated[
        float | None,
        typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms, less the charge."),
    ] = None,
    charge: Annotated[
        float | None,
        typer.Option(
            "--charge",
            help="Of the cell, in e: electrons fewer than in the neutral atoms; default: that in an xyz file, or 0.",
        ),
    ] = None,
    symmetrise: Annotated[
        bool, typer.Option("--symmetrise", help="Average over the cell's symmetries: up to 48 times slower.")
    ] = False,
    spin: options.Spin = "total",
    force: options.Force = False,
    device: options.Device = None,
) -> None:
    """Predict the electron density of structures, and write it for VASP, VESTA or PySCF.

    A CHGCAR, cube or other file with a grid gets a density on the same points, unless --grid, --like or --spacing asks
    for others. A structure without a grid gets points by --spacing, multiples of 8, which are fastest. A molecule
    without a cell is put into a box, with --vacuum around it.

    Of several frames (xyz, XDATCAR, traj, XSF), each is predicted, into FILE_0, FILE_1, … With --out DIR there may be
    many files: each density is named after its structure. Densities that are there already are skipped, so that a
    stopped command continues, and a structure that fails does not stop the others.

    With --symmetrise, the density of a turned structure is the turned density, for every turn that maps the cell's grid
    onto itself; training with augmentation makes it nearly so.

    An ensemble, made by `edframe ensemble`, also writes the spread of its members, which is the standard deviation to
    expect at each point, into a second file, and says which NMAE to expect. A structure with atoms in surroundings
    that were not trained on is predicted with a warning. The distance that is printed is from the training data, in
    units in which 1 is the edge of what they hold.

    Examples:

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c *.xyz --out densities
    """
    from edframe import io

    if charge is not None and electrons is not None:
        raise ConfigError("--electrons says how many there are, and --charge that they differ; give one of the two")
    if out is None and len(paths) != 2:
        raise ConfigError(
            f"give a structure and the file to write, not {len(paths)} paths; for many structures: --out DIR"
        )
    jobs = [(paths[0], paths[1])] if out is None else _named(paths, out, ending)
    for _, target in jobs[:1]:
        io.format_of(target)
    shape, chosen = _asked(grid, like, spacing), _Chosen(spacing, electrons, charge, spin, force, out is not None)
    model = _Model(run, vacuum, device, symmetrise)
    if out is None:
        model.predict(*jobs[0], shape, chosen)
        return
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for structure, target in jobs:
        try:
            model.predict(structure, target, shape, chosen)
        except (EdframeError, MemoryError) as error:
            failed += 1
            typer.secho(
                f"Error: {error}" if str(structure) in str(error) else f"Error: {structure}: {error}",
                fg=typer.colors.RED,
                err=True,
            )
    if failed:
        raise DataError(f"{failed} of {len(jobs)} structures could not be predicted; the others are in {out}")


@dataclass(frozen=True)
class _Chosen:
    """What the options ask of each prediction."""

    spacing: float | None
    electrons: float | None
    charge: float | None
    spin: str
    force: bool
    skip: bool


class _Model:
    """The model of a run or an ensemble, opened when the first structure has been read."""

    def __init__(self, run: Path, vacuum: float | None, device: str | None, symmetrise: bool) -> None:
        from edframe.predict.ensemble import Ensemble
        from edframe.runs.directory import Run

        self._ensemble = Ensemble.open(run) if Ensemble.at(run) else None
        self._run = self._ensemble.members[0] if self._ensemble else Run.open(run)
        self._vacuum, self._device, self._symmetrise = vacuum, device, symmetrise
        self._opened: Any = None

    @property
    def vacuum(self) -> float:
        """Å around a molecule: as asked, else as in the training data."""
        from edframe.io.boxes import vacuum_for
        from edframe.runs.tensors import numbers
        from edframe.train.checkpoint import BEST

        with self._run.reading(BEST):
            return vacuum_for(self._vacuum, numbers(self._run.header(BEST).get("vacuum", "null")))

    def predict(self, path: Path, target: Path, shape: tuple[int, ...] | None, chosen: _Chosen) -> None:
        """Predict all frames of a file, and write each."""
        from edframe import io
        from edframe.io.grids import points_of
        from edframe.io.structures import has_occupancies, read_structures

        frames = read_structures(path, self.vacuum)
        if not chosen.skip:
            options.refuse_to_overwrite(_targets(target, frames, chosen.spin), chosen.force)
        own = points_of(path)
        points = shape or (own.shape if own and chosen.spacing is None else None)
        for number, atoms in enumerate(frames.structures):
            place = _of_frame(target, number, frames)
            if chosen.skip and place.exists() and not chosen.force:
                typer.echo(f"{place}: is there already")
                continue
            self._write(atoms, place, points, own.origin if own else (0.0, 0.0, 0.0), chosen, number, frames)
        for note in frames.notes:
            typer.secho(f"Note: {path}: {note}.", err=True)
        if io.format_of(target) in ("chgcar", "vasp-h5") and has_occupancies(path):
            typer.secho(f"Note: the PAW occupancies in {path} are not those of the predicted density, and are left "
                        "out; VASP takes those of free atoms.", err=True)  # fmt: skip

    def _write(
        self, atoms: Structure, target: Path, shape: Sequence[int] | None, origin: tuple[float, float, float],
        chosen: _Chosen, number: int, frames: Frames,
    ) -> None:  # fmt: skip
        from edframe import io
        from edframe.data.conversion import volume_of
        from edframe.io.patterns import PREDICTED
        from edframe.io.spin import beside
        from edframe.io.structures import charge_of

        model = self._model()
        began = time.perf_counter()
        excess = chosen.charge
        if excess is None:
            excess = charge_of(atoms) if chosen.electrons is None else 0.0
        asked = {"shape": shape, "spacing": chosen.spacing, "electrons": chosen.electrons, "charge": excess}
        spread, expected = None, 0.0
        if self._ensemble is None:
            sample = model(atoms, **asked)
        else:
            sample, spread, expected = model(atoms, **asked)
        volume = replace(volume_of(sample), origin=origin)
        written = io.write(target, volume, spin=chosen.spin)
        novelty = model.novelty(atoms)
        size = "×".join(map(str, sample.grid.shape))
        said = f" (charge {excess:+g})" if excess and chosen.charge is None else ""
        far = f", distance {novelty.distance:.2f}" if novelty is not None else ""
        seconds = time.perf_counter() - began
        typer.echo(f"{', '.join(map(str, written))}: {sample.electrons:g} electrons{said} on {size} points, "
                   f"{seconds:.1f} s{far}")  # fmt: skip
        if self._ensemble is not None and spread is not None:
            comment = f"{atoms.formula}, standard deviation of a density {PREDICTED}"
            fields = dict(zip(("total", "magnetisation"), spread, strict=False))
            place = beside(target, "spread")
            written = io.write(place, io.Volume(atoms, sample.grid, fields, comment=comment, origin=volume.origin))
            members = len(self._ensemble.members)
            typer.echo(f"{', '.join(map(str, written))}: spread of {members} members; expected NMAE {expected:.3g} %")
        if novelty is not None and novelty.far:
            where = f"frame {number}: " if len(frames.structures) > 1 else ""
            typer.secho(f"Warning: {where}{novelty}.", fg=typer.colors.YELLOW, err=True)

    def _model(self) -> Any:
        if self._opened is None:
            from edframe.predict.ensemble import predictor_of

            saved = self._run if self._ensemble is None else self._ensemble
            self._opened = predictor_of(saved, self._device, symmetrise=self._symmetrise)
        return self._opened


def _named(paths: Sequence[Path], out: Path, ending: str) -> list[tuple[Path, Path]]:
    """Each structure and the file for its density in ``out``, named after as much of its path as is needed."""
    from edframe.io.files import plain_name
    from edframe.io.patterns import names as shortest

    names = shortest([path.resolve() for path in paths])
    bare = {path: plain_name(name.replace("/", "-")) for path, name in zip(paths, names, strict=True)}
    known = {path: name.rsplit(".", 1)[0] if "." in name[1:] else name for path, name in bare.items()}
    if len(set(known.values())) < len(known):  # a.xyz and a.cif
        known = bare
    return [(path, out / f"{known[path]}.{ending}") for path in paths]


def _of_frame(target: Path, number: int, frames: Frames) -> Path:
    from edframe.io.spin import beside

    last = len(frames.structures) - 1
    return beside(target, f"{number:0{len(str(last))}d}") if last else target


def _targets(target: Path, frames: Frames, spin: str) -> list[Path]:
    """All files that a prediction of these frames may write."""
    from edframe.io import format_of
    from edframe.io.spin import beside

    ends = (["up", "down"] if spin == "up-down" else ["", "spin"]) if format_of(target) == "cube" else [""]
    places = [_of_frame(target, number, frames) for number in range(len(frames.structures))]
    return [beside(place, end) if end else place for place in places for end in (*ends, "spread")]


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

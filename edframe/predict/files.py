"""Files of structures in, files of densities out: what ``edframe predict`` does, in this process or in others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edframe.errors import EdframeError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.io.structures import Frames
    from edframe.predict.ensemble import Ensemble
    from edframe.runs.directory import Run


@dataclass(frozen=True)
class Asked:
    """What is asked of every prediction. run: of a run or an ensemble. vacuum: Å around a molecule without a cell.

    skip: leave out what is there already, and go on after a structure that fails; force: write over what is there.
    memory: bytes that a prediction may take; None: what is free. workers, scheduler: processes for the tiles of each
    structure, as of ``run_jobs``.
    """

    run: Path
    device: str | None
    symmetrise: bool
    vacuum: float
    shape: tuple[int, ...] | None
    spacing: float | None
    electrons: float | None
    charge: float | None
    spin: str
    force: bool
    skip: bool
    memory: float | None = None
    workers: int = 1
    scheduler: str | None = None


@dataclass(frozen=True)
class Job:
    """Some frames of a file, ``first`` to before ``last``, and where their densities go."""

    asked: Asked
    path: Path
    target: Path
    first: int
    last: int


@dataclass(frozen=True)
class Said:
    """A line about what was done."""

    text: str
    kind: Literal["done", "note", "warning", "error"] = "done"


def predict_file(job: Job) -> list[Said]:
    """All of ``predictions`` at once, for a process of its own."""
    return list(predictions(job))


def predictions(job: Job) -> Iterator[Said]:
    """Predict the frames of a job, write each, and say so. Raises EdframeError, or with ``skip`` says what failed."""
    from edframe.io import format_of
    from edframe.io.grids import points_of
    from edframe.io.structures import has_occupancies

    asked, path = job.asked, job.path
    frames = frames_of(path, asked.vacuum)
    own = points_of(path)
    points = asked.shape or (own.shape if own and asked.spacing is None else None)
    origin = own.origin if own else (0.0, 0.0, 0.0)
    for number, atoms in list(enumerate(frames.structures))[job.first : job.last]:
        place = of_frame(job.target, number, frames)
        if asked.skip and place.exists() and not asked.force:
            yield Said(f"{place}: is there already")
            continue
        try:
            yield from _written(atoms, place, points, origin, job, number, several=len(frames.structures) > 1)
        except (EdframeError, MemoryError) as error:
            if not asked.skip:
                raise
            where = f"{path}, frame {number}" if len(frames.structures) > 1 else f"{path}"
            yield Said(f"{where}: {error}" if str(path) not in str(error) else str(error), "error")
    if job.first == 0:
        for note in frames.notes:
            yield Said(f"{path}: {note}.", "note")
        if format_of(job.target) in ("chgcar", "vasp-h5") and has_occupancies(path):
            yield Said(f"the PAW occupancies in {path} are not those of the predicted density, and are left out; VASP "
                       "takes those of free atoms.", "note")  # fmt: skip


def frames_of(path: Path, vacuum: float) -> Frames:
    """The structures in a file; of the last one that was asked for they are kept."""
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    return _read(path, vacuum, changed)


@lru_cache(maxsize=1)
def _read(path: Path, vacuum: float, changed: int) -> Frames:
    from edframe.io.structures import read_structures

    return read_structures(path, vacuum)


def trained_vacuum(run: Path) -> float | None:
    """Å around the molecules of the training data of a run or an ensemble; None where they are crystals."""
    from edframe.predict.ensemble import Ensemble
    from edframe.runs.tensors import numbers
    from edframe.train.checkpoint import BEST

    model = saved(run)
    first = model.members[0] if isinstance(model, Ensemble) else model
    with first.reading(BEST):
        vacuum: float | None = numbers(first.header(BEST).get("vacuum", "null"))
    return vacuum


def saved(run: Path) -> Run | Ensemble:
    """What lies in the directory of a run or of an ensemble, or the installed model of this name.

    Raises RunError where it is neither.
    """
    from edframe.predict.ensemble import Ensemble
    from edframe.predict.pretrained import located
    from edframe.runs.directory import Run

    run = located(run)

    return Ensemble.open(run) if Ensemble.at(run) else Run.open(run)


@lru_cache(maxsize=1)
def opened(run: Path, device: str | None, symmetrise: bool) -> Any:
    """The predictor of a run, or of an ensemble."""
    from edframe.predict.ensemble import predictor_of

    return predictor_of(saved(run), device, symmetrise=symmetrise)


def of_frame(target: Path, number: int, frames: Frames) -> Path:
    """The file of a frame: numbered where there are several."""
    from edframe.io.spin import beside

    last = len(frames.structures) - 1
    return beside(target, f"{number:0{len(str(last))}d}") if last else target


def targets(target: Path, frames: Frames, spin: str) -> list[Path]:
    """All files that a prediction of these frames may write."""
    from edframe.io import format_of
    from edframe.io.spin import beside

    ends = (["up", "down"] if spin == "up-down" else ["", "spin"]) if format_of(target) == "cube" else [""]
    places = [of_frame(target, number, frames) for number in range(len(frames.structures))]
    return [beside(place, end) if end else place for place in places for end in (*ends, "spread")]


def _written(
    atoms: Structure, target: Path, shape: Sequence[int] | None, origin: tuple[float, float, float], job: Job,
    number: int, *, several: bool,
) -> Iterator[Said]:  # fmt: skip
    from edframe import io
    from edframe.data.conversion import volume_of
    from edframe.io.patterns import PREDICTED
    from edframe.io.spin import beside
    from edframe.io.structures import charge_of
    from edframe.predict.elsewhere import processes
    from edframe.predict.ensemble import EnsemblePredictor
    from edframe.predict.predictor import warnings_of

    asked = job.asked
    model = opened(asked.run, asked.device, asked.symmetrise)
    began, others = time.perf_counter(), processes(asked, job.path, number)
    excess = asked.charge
    if excess is None:
        excess = charge_of(atoms) if asked.electrons is None else 0.0
    wanted: dict[str, Any] = {
        "shape": shape, "spacing": asked.spacing, "electrons": asked.electrons, "charge": excess,
        "memory": asked.memory, "folder": target.parent, "processes": others,
        "x_fastest": io.format_of(target) in io.X_FASTEST,
    }  # fmt: skip
    spread, expected, judged = None, 0.0, None
    if isinstance(model, EnsemblePredictor):
        sample, spread, expected = model(atoms, **wanted)
    else:
        sample = model(atoms, **wanted)
        judged = model.expected(sample)
    volume = replace(volume_of(sample), origin=origin)
    written = io.write(target, volume, spin=asked.spin)
    novelty = model.novelty(atoms)
    size = "×".join(map(str, sample.grid.shape))
    said = f" (charge {excess:+g})" if excess and asked.charge is None else ""
    far = f", distance {novelty.distance:.2f}" if novelty is not None else ""
    far += f", expected NMAE {judged:.2g} %" if judged is not None else ""
    seconds = time.perf_counter() - began
    by = f" by {others.count} processes" if others is not None and others.used else ""
    yield Said(f"{', '.join(map(str, written))}: {sample.electrons:g} electrons{said} on {size} points, "
               f"{seconds:.1f} s{by}{far}")  # fmt: skip
    if others is not None and not others.used:
        reason = model.members[0].whole or "its tiles would take no less time"
        yield Said(f"{target}: one process predicted it; {reason}.", "note")
    if spread is not None:
        comment = f"{atoms.formula}, standard deviation of a density {PREDICTED}"
        fields = dict(zip(("total", "magnetisation"), spread, strict=False))
        place = beside(target, "spread")
        written = io.write(place, io.Volume(atoms, sample.grid, fields, comment=comment, origin=volume.origin))
        yield Said(f"{', '.join(map(str, written))}: spread of {len(model.members)} members; expected NMAE "
                   f"{expected:.3g} %")  # fmt: skip
    for each in warnings_of(sample, novelty):
        yield Said(f"{f'frame {number}: ' if several else ''}{each}.", "warning")

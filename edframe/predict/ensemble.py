"""Deep ensembles: runs that differ in their seed alone, their mean as the prediction, their spread as its uncertainty.

B. Lakshminarayanan, A. Pritzel, C. Blundell, NeurIPS 30 (2017), arXiv:1612.01474.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from edframe.config.leaves import leaves
from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.data.loading import Loader
from edframe.errors import DataError, RunError
from edframe.interfaces import FittedFeaturizer
from edframe.io.files import replacing
from edframe.predict.calibration import Calibration, expected_nmae
from edframe.predict.in_tiles import InTiles, Processes, each_density, mean_and_deviation, total
from edframe.predict.on_disk import chunks
from edframe.predict.predictor import Predictor, load_best, predicted_sample
from edframe.report.calibration import calibration_figure
from edframe.runs.build import device_for
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated
from edframe.runs.tensors import positive
from edframe.train.featurizer import restore_featurizer
from edframe.train.loop import predict

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.grid import Grid
    from edframe.predict.novelty import Novelty
    from edframe.runs.build import Parts
    from edframe.sample import Sample

FILE = "ensemble.json"
FORMAT = 1
MAY_DIFFER = ("seed", "name", "device")
"""Keys of the configuration in which members may differ."""


@dataclass(frozen=True)
class Ensemble:
    """An ensemble on disk. factor: what the members' standard deviation is multiplied by, from the validation part."""

    path: Path
    members: tuple[Run, ...]
    factor: float

    @classmethod
    def open(cls, path: Path) -> Ensemble:
        """What ``write`` wrote. Raises RunError when it is damaged, or a member is not where it was."""
        try:
            facts = json.loads((path / FILE).read_text(encoding="utf-8"))
            members, factor = (
                [(path / name).resolve() for name in facts["members"]],
                positive(facts["factor"], "factor"),
            )
            if not members:
                raise ValueError("it has no members")
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path / FILE} cannot be read ({error}); write it again by `edframe ensemble`") from error
        return cls(path, tuple(Run.open(member) for member in members), factor)

    @staticmethod
    def at(path: Path) -> bool:
        """Whether ``path`` is the folder of an ensemble."""
        return (path / FILE).is_file()


def open_members(paths: Sequence[Path]) -> list[Run]:
    """The runs at ``paths``, when they make an ensemble. Raises RunError that names what does not fit.

    They are finished, with other seeds, and equal in all else: configuration, data, test samples.
    """
    runs = [Run.open(path) for path in paths]
    if len(runs) < 2:
        raise RunError("an ensemble needs at least two runs; repeat the first by `edframe run … --set seed=1`")
    for run in runs:
        run.require_finished()
    first, seeds = runs[0], {runs[0].config().get("seed"): runs[0]}
    for run in runs[1:]:
        ours, theirs = (dict(leaves(run.config())) for run in (first, run))
        for key in (key for key in {**ours, **theirs} if key not in MAY_DIFFER and ours.get(key) != theirs.get(key)):
            raise RunError(
                f"{run.path} is not a member of one ensemble with {first.path}: {key} is {theirs.get(key)} there, "
                f"{ours.get(key)} here; members differ in their seed alone"
            )
        same = seeds.setdefault(run.config().get("seed"), run)
        if same is not run:
            raise RunError(f"{run.path} and {same.path} have the same seed; repeat one by `edframe run … --set seed=…`")
        if run.fingerprint() != first.fingerprint():
            raise RunError(f"{run.path} and {first.path} were made from other data; repeat one of them")
        if _tested(run) != _tested(first):
            raise RunError(
                f"{run.path} and {first.path} have other test samples, so one was trained on what tests the other; "
                "repeat one of them with the same splits"
            )
    return runs


def calibrate(
    runs: Sequence[Run], parts: Parts, device: torch.device | str, advance: Callable[[int, int], None]
) -> dict[str, Any]:
    """All that ``ensemble.json`` holds but the members: the factor, found on the validation part, and the figures.

    parts: built from the configuration of a member. advance: called with the samples done and their total. The
    total density is judged, not the magnetisation. Raises RunError when ``parts`` has other data or test samples than
    the runs, and when all members predict the same.
    """
    ids = parts.dataset.ids
    if _tested(runs[0]) != {ids[i] for i in parts.split.test} or (parts.dataset.fingerprint() != runs[0].fingerprint()):
        raise RunError(f"{runs[0].path} was made from other data or splits than there are now; repeat its runs")
    models, featurizers = [], []
    for run in runs:
        model, featurizer = copy.deepcopy(parts.model), copy.deepcopy(parts.featurizer)
        load_best(model, run)
        models.append(model.to(device).eval())
        restore_featurizer(featurizer, run)
        featurizers.append(featurizer)
    loader = Loader(parts.dataset, featurizers[0], device)
    done, total = 0, len(parts.split.validation) + len(parts.split.test)

    def predictions(indices: Iterable[int]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        nonlocal done
        for batch in loader.stream([index] for index in indices):
            densities = []
            for model, featurizer in zip(models, featurizers, strict=True):
                seen = batch
                if isinstance(featurizer, FittedFeaturizer):  # members may have other training samples
                    structures = [sample.structure for sample in batch.samples]
                    seen = replace(batch, features=featurizer(structures, batch.grid, device))
                with torch.no_grad():
                    densities.append(predict(model, seen)[0, 0].double().cpu().numpy())
            yield np.stack(densities), batch.density[0, 0].double().cpu().numpy()
            done += 1
            advance(done, total)

    validation = Calibration()
    for densities, reference in predictions(parts.split.validation):
        validation.add(densities.mean(0), densities.std(0, ddof=1), reference)
    factor = validation.fitted_factor()
    if not np.isfinite(factor):
        raise RunError(
            f"the members of {runs[0].path} predict the same densities: its model does not depend on the seed, and "
            "the spread says nothing"
        )
    test, members = Calibration(factor), []
    for densities, reference in predictions(parts.split.test):
        test.add(densities.mean(0), densities.std(0, ddof=1), reference)
        members.append(100 * np.abs(densities - reference).sum((1, 2, 3)) / reference.sum())
    samples = zip((ids[i] for i in parts.split.test), test.nmae, test.expected_nmae, strict=True)
    return {
        "factor": factor,
        "validation": {"samples": len(validation.nmae), "nmae": float(np.mean(validation.nmae))},
        "test": {"members_nmae": np.mean(members, axis=0).tolist(), **test.summary()},
        "samples": [{"id": name, "nmae": nmae, "expected_nmae": expected} for name, nmae, expected in samples],
    }


def write(path: Path, runs: Sequence[Run], facts: Mapping[str, Any], dimension: int) -> None:
    """Make the folder of an ensemble: the figure, then ``ensemble.json``, which names the members relative to it.

    Raises RunError where there is something already, DataError when it cannot be written.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise RunError(f"{path} was made by another process meanwhile; choose another folder by --out") from error
    except OSError as error:
        raise DataError(f"{path} cannot be made ({error.strerror or error}); choose another by --out") from error
    with replacing(path / "calibration.png") as file:
        file.write(calibration_figure(facts, dimension))
    members = [Path(os.path.relpath(run.path.resolve(), path.resolve())).as_posix() for run in runs]
    with replacing(path / FILE) as file:
        file.write(json.dumps({"format": FORMAT, "members": members, **facts}, indent=1).encode())


class EnsemblePredictor:
    """All members of an ensemble, for structures without a density; made by ``predictor_of``."""

    def __init__(self, ensemble: Ensemble, members: Sequence[Predictor]) -> None:
        self.ensemble = ensemble
        self.members = members

    def __call__(
        self,
        structure: Structure,
        *,
        shape: Sequence[int] | None = None,
        spacing: float | None = None,
        electrons: float | None = None,
        charge: float = 0.0,
        memory: float | None = None,
        folder: Path | None = None,
        processes: Processes | None = None,
        x_fastest: bool = False,
    ) -> tuple[Sample, NDArray[np.float64], float]:
        """The mean density, its calibrated standard deviation ``[s, x, y, z]`` in e/Å³, and the expected NMAE in %.

        Arguments and errors as of ``Predictor``. The mean is nonnegative and integrates to the electrons, as each
        member's density does.
        """
        first, count = self.members[0], len(self.members)
        grid = first.grid(structure, shape, spacing)
        parts = first.tiled(grid, memory, processes, count)
        if parts is None:
            mean, spread, number = self._whole(structure, grid, electrons, charge, memory)
        else:
            number = first.number(structure, None, grid, electrons, charge)
            tiled = [InTiles(member, structure, grid, index) for index, member in enumerate(self.members)]
            each = each_density(tiled, parts, number, folder, processes, x_fastest=x_fastest)
            mean, spread = mean_and_deviation(each, folder)
        for (part,) in chunks(spread):
            part *= self.ensemble.factor
        name, doubts = self.ensemble.path.name, first.doubts(structure, grid, number)
        sample = predicted_sample(structure, grid, mean, number, doubts, name, first.level)
        return sample, spread, expected_nmae(total(spread), number, grid)

    def _whole(
        self, structure: Structure, grid: Grid, electrons: float | None, charge: float, memory: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Mean and standard deviation of the members' densities, and the electrons."""
        first = self.members[0]
        inputs = first.inputs(structure, grid, electrons, charge, memory, len(self.members))
        predicted, ion = [first.density(inputs)], first.charged(structure, inputs.electrons)
        for member in self.members[1:]:
            if isinstance(member.featurizer, FittedFeaturizer):  # members may have other training samples
                inputs = replace(inputs, features=member.featurizer([ion], inputs.grid, member.device))
            predicted.append(member.density(inputs))
        densities = np.stack(predicted).astype(np.float64)
        return densities.mean(0), densities.std(0, ddof=1), inputs.electrons

    def novelty(self, structure: Structure) -> Novelty | None:
        """As of ``Predictor``: all members have one training set."""
        return self.members[0].novelty(structure)


def predictor_of(
    saved: Run | Ensemble, device: str | None = None, *, symmetrise: bool = False
) -> Predictor | EnsemblePredictor:
    """The trained model of a run or of an ensemble, by the installed plugins.

    device: None: that of the run. symmetrise: see ``Predictor``. Raises RunError where there is no trained model yet.
    """
    registry = Registry.discover()
    runs = saved.members if isinstance(saved, Ensemble) else (saved,)
    flags = {} if device is None else {"device": device}
    experiment, _ = resolve(registry, runs[0].path / "config.yaml", flags=flags)
    where = device_for(experiment)
    members = [Predictor(run, experiment, registry, where, symmetrise=symmetrise) for run in runs]
    return EnsemblePredictor(saved, members) if isinstance(saved, Ensemble) else members[0]


def _tested(run: Run) -> set[str]:
    return {event.id for event in run.events() if isinstance(event, Evaluated)}

"""A study: as many trials as are asked for, one after another or side by side, and the best of them as a recipe."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edframe import jobs
from edframe.config.experiment import Experiment
from edframe.config.resolve import varied
from edframe.contract.component import Range
from edframe.contract.registry import Registry
from edframe.errors import DataError, RunError
from edframe.files import whole
from edframe.tuning.journal import BEST, SPACE, finished, library, opened
from edframe.tuning.space import Space, to_plain, value_at

if TYPE_CHECKING:
    import optuna

ENOUGH = 10
"""Trials trained to the end without which nothing is said of how much an option matters."""


def tune(
    experiment: Experiment,
    space: Space,
    registry: Registry,
    folder: Path,
    trials: int,
    show: Callable[[optuna.trial.FrozenTrial | None, int], None],
    *,
    prune: bool = True,
    workers: int = 1,
    scheduler: str | None = None,
) -> optuna.Study:
    """Bring the study in ``folder`` to that many finished trials in all, and save the best in ``best.yaml``.

    The first trial has the experiment's own values, where they are in the space. ``show(trial, done)`` is called for
    each when it is finished, and first with None and how many there are. prune: stop a trial early when it is worse
    than the median at the same step. workers: local processes, each of which trains one trial at a time. scheduler:
    address of a Dask scheduler to use instead; its workers must see the folder, and should have one thread each.
    Raises RunError when the folder is in use, is another study's or cannot be written, when a trial's process was
    killed, or when no trial was trained to the end.
    """
    experiment.require_one_process("trial")
    base = experiment.dump()
    with opened(folder, base, {key: to_plain(where) for key, where in space.items()}) as study:
        if not study.get_trials(deepcopy=False):
            _queue_first(study, base, space)
        count = len(finished(study))
        show(None, count)
        common = {"folder": str(folder.resolve()), "prune": prune}
        inputs = [{**common, "position": position} for position in range(count, trials)]
        lost: DataError | None = None
        running = jobs.run_jobs("edframe.tuning.trial:run_trial", inputs, workers=workers, scheduler=scheduler)
        with contextlib.closing(running):
            for _, result in running:
                if isinstance(result, DataError):  # its worker was killed; the others go on
                    lost = result
                elif isinstance(result, Exception):
                    raise result
                else:
                    count += 1
                    _write_best(study, base, space, registry, folder)
                    show(study.get_trials(deepcopy=False)[result], count)
        _write_best(study, base, space, registry, folder)
    if lost is not None:
        raise RunError(
            f"a trial was lost ({lost}); the {count} that are finished are saved, and the same command continues"
        )
    if not completed(study):
        reasons = [trial.user_attrs["error"] for trial in finished(study) if "error" in trial.user_attrs]
        raise RunError(
            f"none of {count} trials was trained to the end (the last: {['cut short', *reasons][-1]}); "
            "search elsewhere by --vary, or begin from other values"
        )
    return study


def completed(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were trained to the end."""
    return study.get_trials(deepcopy=False, states=(library().trial.TrialState.COMPLETE,))


def values_of(trial: optuna.trial.FrozenTrial, space: Space) -> dict[str, Any]:
    """The values of the searched options in a trial."""
    categorical = library().distributions.CategoricalDistribution
    return {
        key: json.loads(trial.params[key]) if isinstance(trial.distributions[key], categorical) else trial.params[key]
        for key in space
    }


def importances(study: optuna.Study, space: Space) -> dict[str, float]:
    """How much each option decided whether a trial was among the best tenth: fractions of 1, largest first.

    PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv:2304.10255). Empty for fewer than ten trials trained to the end.
    """
    if len(completed(study)) < ENOUGH:
        return {}
    optuna = library()
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    by_key = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(space))
    return {key: float(value) for key, value in by_key.items()}


def _queue_first(study: optuna.Study, base: dict[str, Any], space: Space) -> None:
    """Let the first trial have the experiment's own values, unless one of them is not searched."""
    params: dict[str, Any] = {}
    for key, where in space.items():
        value = value_at(base, key)
        if isinstance(where, Range):
            if not isinstance(value, int | float) or not where.low <= value <= where.high or where.step:
                return
            params[key] = value
        else:
            if value not in where.values:
                return
            params[key] = json.dumps(value)
    study.enqueue_trial(params)


def _write_best(study: optuna.Study, base: dict[str, Any], space: Space, registry: Registry, folder: Path) -> None:
    """Write the best experiment so far, whole or not at all; nothing while no trial was trained to the end."""
    ended = completed(study)
    if not ended:
        return
    best = min(ended, key=lambda trial: (trial.value, trial.number))
    experiment = varied(base, values_of(best, space), registry, str(folder / SPACE))
    header = f"# Found by: {shlex.join(['edframe', *sys.argv[1:]])}\n"
    header += (
        f"# Validation NMAE {best.value:.4g} %, the best of {len(finished(study))} trials (trial {best.number}).\n\n"
    )
    with whole(folder / BEST) as file:
        file.write((header + experiment.to_yaml()).encode())

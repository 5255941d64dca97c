"""One trial of a study: values from the sampler, a training that may be cut short, its best validation NMAE.

Runs in any process that sees the study's folder: all of them meet in the journal there.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from edframe.config.experiment import Experiment
from edframe.config.resolve import varied
from edframe.contract.component import Among, Range
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, DataError, RunError
from edframe.runs.events import Event, Progress, Validation
from edframe.runs.execute import train_only
from edframe.seeds import seed_for
from edframe.train.loop import Interrupted
from edframe.tuning import space
from edframe.tuning.journal import CONFIG, SCRATCH, SPACE, library, loaded

if TYPE_CHECKING:
    import optuna

STARTUP = 5
"""Trials that are trained to the end, whatever they show, before others are held against their median."""


def run_trial(job: Mapping[str, Any]) -> int:
    """Take the next trial of the study in ``job["folder"]``, and write its result to the journal; its number.

    position: how many trials were finished before it, which with the experiment's seed makes the sampler's. prune:
    whether it may be cut short. A trial whose values are refused, or whose loss is no longer finite, counts as one that
    was. Raises KeyboardInterrupt when it is stopped: the trial is then left as it is, for the study to queue it again.
    """
    optuna = library()
    folder = Path(job["folder"])
    base = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    searched = yaml.safe_load((folder / SPACE).read_text(encoding="utf-8"))
    steps = base["training"]["steps"]
    sampler = optuna.samplers.TPESampler(seed=seed_for(base["seed"], "tuning", job["position"]) % 2**32)
    # Before a quarter of the steps, a small learning rate would always look bad.
    pruner = optuna.pruners.MedianPruner(STARTUP, n_warmup_steps=steps // 4)
    trial = loaded(folder, sampler, pruner).ask()
    values = {key: suggested(trial, key, space.from_plain(plain)) for key, plain in searched.items()}

    def report(step: int, error: float) -> None:
        trial.report(error, step)
        if job["prune"] and step < steps and trial.should_prune():
            raise optuna.TrialPruned

    registry = Registry.discover()
    try:
        experiment = varied(base, values, registry, str(folder / SPACE))
        trial.study.tell(trial, validation_error(experiment, registry, folder, report))
    except optuna.TrialPruned:
        trial.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except (ConfigError, DataError, RunError, torch.OutOfMemoryError) as error:
        trial.set_user_attr("error", str(error).splitlines()[0])
        trial.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except Interrupted:
        raise KeyboardInterrupt from None
    return int(trial.number)


def suggested(trial: optuna.Trial, key: str, where: Range | Among) -> Any:
    """The value of one option in a trial. Optuna's choices are numbers or text, so a list is written as JSON."""
    if isinstance(where, Among):
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in where.values]))
    if where.whole:
        return trial.suggest_int(key, int(where.low), int(where.high), step=int(where.step or 1), log=where.log)
    return trial.suggest_float(key, where.low, where.high, step=where.step, log=where.log)


def validation_error(
    experiment: Experiment, registry: Registry, folder: Path, report: Callable[[int, float], None]
) -> float:
    """The best NMAE in % on the validation samples while the experiment is trained, in a folder that goes again.

    ``report(step, nmae)`` is called for each; what it raises ends the training.
    """
    best = math.inf

    def show(event: Event | Progress) -> None:
        nonlocal best
        if isinstance(event, Validation):
            best = min(best, event.nmae)
            report(event.step, event.nmae)

    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        train_only(experiment, registry, Path(scratch), show)
    return best

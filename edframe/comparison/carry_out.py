"""The runs of a comparison: each in a folder named by its content, so that no run is ever made twice.

Runs are independent pieces of work for ``edframe.jobs``; every function that those call takes and gives plain data.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edframe import jobs
from edframe.comparison.outcome import Outcome
from edframe.comparison.plan import Planned, in_words
from edframe.config.experiment import Experiment
from edframe.config.resolve import varied
from edframe.contract.registry import Registry
from edframe.errors import RunError
from edframe.files import locked
from edframe.io.files import replacing
from edframe.runs.build import build, fabric_for
from edframe.runs.directory import Run
from edframe.runs.events import Event, Progress, Step
from edframe.runs.execute import execute, train_only
from edframe.train.checkpoint import Checkpoint
from edframe.train.loop import Interrupted

ProgressBar = Callable[[str], contextlib.AbstractContextManager[Callable[[int, int], None]]]
"""Opened with what is done, it gives ``advance(done, total)``."""

PROBE = 40
"""Steps after which the time of one is known."""
UNSTEADY = 10
"""First steps, which are slower than the others and are left out of it."""


def carried_out(
    plans: Sequence[Planned],
    data: Mapping[str, str],
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> Generator[tuple[Planned, Outcome | Exception], None, None]:
    """Yield each run as it is finished, or what stopped it; those that were finished before come first.

    data: ``fingerprints`` of the datasets. folder: of all runs, whichever comparison asked for them. workers,
    scheduler: as of ``run_jobs``. Every run computes with one thread, so that its numbers do not depend on how many
    there are side by side.
    """
    command = shlex.join(["edframe", *sys.argv[1:]])
    finished, missing = kept(plans, data, folder)
    yield from finished
    waiting: dict[Path, list[Planned]] = {}  # two labels may mean the same
    for plan in missing:
        waiting.setdefault(_place(plan, data, folder), []).append(plan)
    inputs = [
        {"config": alike[0].experiment.dump(), "folder": str(place.resolve()), "command": command}
        for place, alike in waiting.items()
    ]
    with contextlib.closing(jobs.run_jobs(f"{__name__}:run", inputs, workers=workers, scheduler=scheduler)) as results:
        for index, result in results:
            place, alike = list(waiting.items())[index]
            for plan in alike:
                yield plan, result if isinstance(result, Exception) else _outcome(plan, Run.open(place / result))


def kept(
    plans: Sequence[Planned], data: Mapping[str, str], folder: Path
) -> tuple[list[tuple[Planned, Outcome]], list[Planned]]:
    """The runs that are finished already, and the plans of the others; arguments as of ``carried_out``."""
    finished, missing = [], []
    for plan in plans:
        done = _finished(_place(plan, data, folder))
        if done is None:
            missing.append(plan)
        else:
            finished.append((plan, _outcome(plan, done)))
    return finished, missing


def fingerprints(plans: Sequence[Planned], registry: Registry, progress: ProgressBar) -> dict[str, str]:
    """The fingerprint of every dataset that is used, by ``data_key``; what is still to be made is made here, once."""
    by_key: dict[str, str] = {}
    for plan in plans:
        plan.experiment.import_factories(registry)
    for plan in plans:
        key = data_key(plan.experiment)
        if key not in by_key:
            dataset = plan.experiment.data.make(registry)
            if not dataset.ready:
                with progress(f"{plan.experiment.data.name}: densities") as advance:
                    dataset.build(advance, workers=os.cpu_count() or 1)
            by_key[key] = dataset.fingerprint()
    return by_key


def data_key(experiment: Experiment) -> str:
    """The data block as text."""
    return json.dumps(experiment.data.dump())


def run(job: Mapping[str, Any]) -> str:
    """Do, or continue, the run that ``job`` describes, and give the name of its directory.

    config: of the experiment. folder: of its content, where run directories lie; one process at a time works there.
    command: what is noted as the command. Raises KeyboardInterrupt when it is stopped, with a checkpoint saved, and
    RunError when another process is at it.
    """
    registry = Registry.discover()
    experiment = varied(job["config"], {}, registry, "the comparison")
    folder = Path(job["folder"])
    with _alone(folder), one_thread():
        finished = _finished(folder)
        if finished is not None:
            return finished.path.name
        begun = [Run.open(path) for path in _runs(folder)]
        parts = build(experiment, registry, lambda done, total: None)
        made = begun[-1] if begun else Run.create(folder, experiment.name, experiment.to_yaml())
        with made.alone():  # `edframe run --resume` may have it
            start = Checkpoint.load(made)
            try:
                execute(experiment, parts, registry, made, fabric_for(experiment), start=start, show=lambda event: None)
            except Interrupted:
                raise KeyboardInterrupt from None
            made.record(command=job["command"])
    return made.path.name


def with_steps(
    plans: Sequence[Planned], seconds: float, file: Path, registry: Registry, say: Callable[[str], None]
) -> list[Planned]:
    """The runs with as many steps as take that long on this machine, for each variant and condition.

    Their number is measured by a short training, one variant after another, and saved in ``file``: a comparison that is
    continued has the same. Raises RunError for a model that is fitted, which takes no steps.
    """
    try:
        known: dict[str, int] = dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    except (OSError, TypeError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}); delete it, and the steps are measured again") from error
    for plan in plans:
        if labels(plan) not in known:
            known[labels(plan)] = max(1, round(seconds / step_seconds(plan.experiment, registry)))
            say(f"{labels(plan)}: {known[labels(plan)]} steps in {seconds:g} s")
            with replacing(file) as stream:
                stream.write(json.dumps(known, indent=1, ensure_ascii=False).encode())
    return [
        replace(plan, experiment=varied(
            plan.experiment.dump(), {"training.steps": known[labels(plan)]}, registry, "the time for each run"
        ))
        for plan in plans
    ]  # fmt: skip


def labels(plan: Planned) -> str:
    """The variant and the condition of a run in words."""
    return ", ".join(filter(None, [plan.variant, in_words(plan.condition)]))


def step_seconds(experiment: Experiment, registry: Registry) -> float:
    """Median time of a step, in a training of PROBE steps. Raises RunError for a model that is fitted."""
    short = varied(experiment.dump(), {"training.steps": PROBE, "training.evaluate_every": PROBE}, registry, "a probe")
    ends: list[float] = []

    def show(event: Event | Progress) -> None:
        if isinstance(event, Step):
            ends.append(event.seconds)

    with one_thread(), tempfile.TemporaryDirectory() as scratch:
        train_only(short, registry, Path(scratch), show)
    if not ends:
        raise RunError(f"model '{experiment.model.name}' is fitted, which takes no steps: leave out compare.seconds")
    return float(np.median(np.diff(ends[UNSTEADY:])))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread of the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder for this process alone. Raises RunError when another has it, or it cannot be written."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(folder / ".lock"))
        except BlockingIOError as error:
            raise RunError(f"{folder} is being made by another `edframe compare`; wait for it, and repeat") from error
        except OSError as error:
            raise RunError(f"{folder} cannot be written: {error.strerror or error}; fix that and repeat") from error
        yield


def _place(plan: Planned, data: Mapping[str, str], folder: Path) -> Path:
    return folder / plan.key(data[data_key(plan.experiment)])


def _runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/config.yaml"))


def _finished(folder: Path) -> Run | None:
    for path in _runs(folder):
        opened = Run.open(path)
        if opened.provenance().get("status") == "finished":
            return opened
    return None


def _outcome(plan: Planned, made: Run) -> Outcome:
    return Outcome.read(made, plan.variant, plan.condition, plan.fold, plan.seed)

"""The training loop: one function, read from top to bottom."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from edframe.config.experiment import Training
from edframe.data.basis import any_basis, in_reduced_basis, reduced
from edframe.data.loading import Batch, Loader, Schedule
from edframe.data.splits import Split
from edframe.errors import RunError
from edframe.grid import Grid
from edframe.interfaces import JudgingFeaturizer, Loss
from edframe.memory import by_points, fitting, out_of_memory_as
from edframe.metrics.convergence import unconverged
from edframe.metrics.standard import coulomb_error, low_g_error, nmae
from edframe.runs.directory import Run
from edframe.runs.events import Event, Remark, Show, Step, Timing, Validation
from edframe.seeds import seed_for
from edframe.train.checkpoint import BEST, Checkpoint
from edframe.train.peak_memory import forget_peak, peak_memory
from edframe.train.visits import Visits

if TYPE_CHECKING:
    from jaxtyping import Float
    from lightning_fabric import Fabric


class Interrupted(Exception):
    """Training was stopped by a signal after saving a checkpoint at ``step``."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


def train(
    fabric: Fabric,
    model: nn.Module,
    loss: Loss,
    loader: Loader,
    split: Split,
    options: Training,
    *,
    seed: int,
    run: Run,
    header: Mapping[str, str],
    start: Checkpoint,
    show: Show,
) -> nn.Module:
    """Minimise ``loss`` on ``split.train``; returns the model with the averaged weights that validated best.

    Everything random is a function of ``seed`` and the step, so a run continued from a checkpoint repeats what the
    uninterrupted one would have done, bit for bit on one CPU device. ``show`` gets every event that is logged.
    Raises Interrupted after SIGINT or SIGTERM, with a checkpoint saved; RunError when the loss is no longer finite
    or the disk is full.
    """
    average = copy.deepcopy(model).requires_grad_(False).eval().to(fabric.device)
    adamw = torch.optim.AdamW(model.parameters(), weight_decay=options.weight_decay)
    wrapped, optimiser = fabric.setup(_TensorsOnly(model), adamw)
    memory = Visits(fabric.device)
    alone = fabric.world_size == 1  # with more processes each has its own memory, which starts empty when continued
    start.restore(model, average, optimiser, memory if alone else None)
    best = start.best
    if fabric.is_global_zero:
        run.rewind(start.step, trained=start.step >= options.steps)
    began = time.perf_counter() - start.seconds
    clock = _Clock(fabric.device)
    forget_peak(fabric.device)

    def log(event: Event) -> None:
        if fabric.is_global_zero:
            run.log(event)
            show(event)

    processes = fabric.world_size
    schedule = Schedule(split.train, loader.dataset.buckets, options.batch_size * processes, seed, processes)
    steps = range(start.step + 1, options.steps + 1)
    drawn = (schedule(step - 1)[fabric.global_rank :: processes] for step in steps)
    motions = (seed_for(seed, "augmentation", step, fabric.global_rank) for step in steps)
    batches = loader.stream(drawn, motions if options.augment else None)
    warned = any_basis(model) or any(isinstance(event, Remark) for event in run.events())
    with _stop_signals() as stopped:
        for step in steps:
            clock.start()
            batch = next(batches)
            clock.lap("data")
            if not warned and (obstacle := reduced(batch.grid).obstacle):
                warned = True  # of the first; others are often alike
                log(Remark(step, f"{batch.samples[0].id}: {obstacle}"))
            with out_of_memory_as(_too_large(batch, step)):
                wrapped.train()
                torch.manual_seed(seed_for(seed, "dropout", step, fabric.global_rank))
                predicted = _predict_wrapped(wrapped, batch)
                clock.lap("forward")
                visit = memory.visit(batch, step)
                values, diagnostics = loss.with_diagnostics(predicted.float(), batch.density, batch.grid, visit)
                value = values.mean()
                clock.lap("loss")
                rate = learning_rate(step, options)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                fabric.backward(value)
                clipped = fabric.clip_gradients(
                    wrapped, optimiser, max_norm=options.clip_norm, error_if_nonfinite=False
                )
                norm = math.nan if clipped is None else float(clipped)
                if not (math.isfinite(value.item()) and math.isfinite(norm)):
                    raise RunError(
                        f"the loss is not finite at step {step} ({value.item()}, its gradient {norm}); lower "
                        f"training.learning_rate or training.clip_norm and run again"
                    )
                optimiser.step()
                optimiser.zero_grad()
                _update_average(average, model, min(options.ema_decay, step / (step + 10)))
            clock.lap("backward")
            seconds = time.perf_counter() - began
            log(Step(step, value.item(), rate, norm, seconds, _means(fabric, diagnostics)))
            last, stop = step == options.steps, _any(fabric, stopped())
            if last or step % options.evaluate_every == 0:
                means = validation_means(average, loss, loader, split.validation)
                log(Validation(step, means.nmae, time.perf_counter() - began, means.loss))
                if means.nmae < best:
                    best = means.nmae
                    if fabric.is_global_zero:
                        run.save_tensors(BEST, average.state_dict(), {**header, "step": str(step), **means.header})
            if last:
                log(Timing(step, step - start.step, clock.seconds, peak_memory(fabric.device)))
                diagnosed = [event.diagnostics for event in run.events() if isinstance(event, Step)]
                for event in unconverged(diagnosed, "training", samples=options.batch_size * fabric.world_size):
                    log(replace(event, step=step))
            if last or stop or step % options.checkpoint_every == 0:
                if fabric.is_global_zero:
                    seconds = time.perf_counter() - began
                    carried = memory if alone and not last else None  # nothing comes after the last step
                    Checkpoint.of(step, best, seconds, model, average, optimiser, carried).save(run, header)
                fabric.barrier()
            if stop:
                raise Interrupted(step)
    average.load_state_dict(run.load_tensors(BEST)[0])
    return average


def learning_rate(step: int, options: Training) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step; steps count from 1."""
    if step <= options.warmup_steps:
        return options.learning_rate * step / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def predict(model: nn.Module, batch: Batch) -> Float[Tensor, "b s *grid"]:
    """The density ``[b, s, x, y, z]`` of a batch, in e/Å^d."""
    features = batch.features
    return in_reduced_basis(model, features.channels, features.baseline, batch.grid, batch.electrons)


class Means(NamedTuple):
    """Over samples: NMAE in %, the loss, and the Coulomb energy of the error in eV per electron, all of it and the part
    in long waves (nan on a line). judged: what errors that the featurizer expects are times too small, see
    ``JudgingFeaturizer``; nan where it expects none."""

    nmae: float
    loss: float
    coulomb: float
    low_g: float
    judged: float = math.nan

    @property
    def header(self) -> dict[str, str]:
        """Of the checkpoint that has these errors."""
        known = {"coulomb": self.coulomb, "low_g": self.low_g, "judged": self.judged}
        return {"nmae": repr(self.nmae), **{name: repr(x) for name, x in known.items() if math.isfinite(x)}}


@torch.no_grad()
def validation_means(model: nn.Module, loss: Loss, loader: Loader, indices: Sequence[int]) -> Means:
    """Mean errors and ``loss`` over the samples at ``indices``. Raises RunError when the NMAE is not finite.

    The loss is evaluated as a metric is: it gets no visit, so that it neither recalls nor stores anything.
    """
    errors, values, energies, expected = [], [], [], []
    for batch in loader.stream([index] for index in indices):
        predicted = predict(model, batch)
        errors.append(float(nmae(predicted, batch.density)))
        values.append(float(loss(predicted, batch.density, batch.grid)))
        energies.append([float(one(predicted, batch.density, batch.grid)) for one in (coulomb_error, low_g_error)])
        if isinstance(loader.featurizer, JudgingFeaturizer):
            (sample,) = batch.samples
            part = loader.featurizer.expected_error(sample.structure, sample.grid)
            expected.append(math.nan if part is None else 100 * part / sample.electrons)
    error = sum(errors) / len(indices)
    if not math.isfinite(error):
        raise RunError(f"the validation NMAE is not finite ({error}); lower training.learning_rate and run again")
    coulomb, low_g = (sum(column) / len(indices) for column in zip(*energies, strict=True))
    judged = sum(errors) / sum(expected) if expected else math.nan
    return Means(error, sum(values) / len(indices), coulomb, low_g, judged)


class _TensorsOnly(nn.Module):
    """A model as Fabric can wrap it: Fabric casts every argument to the run's precision, and fails on a Grid."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, channels: Tensor, baseline: Tensor | None, grid: Callable[[], Grid], electrons: Tensor) -> Tensor:
        return in_reduced_basis(self.model, channels, baseline, grid(), electrons)


def _predict_wrapped(wrapped: nn.Module, batch: Batch) -> Tensor:
    features = batch.features
    density: Tensor = wrapped(features.channels, features.baseline, lambda: batch.grid, batch.electrons)
    return density


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current.to(kept.dtype), 1 - decay)
    for buffer, source in zip(average.buffers(), model.buffers(), strict=True):
        buffer.copy_(source)


def _too_large(batch: Batch, step: int) -> str:
    """What to do where a step needs more memory than there is."""
    count = len(batch.density)
    start = f"there is not enough memory for step {step}, of {count} samples on {by_points(batch.grid.shape)} points; "
    if count > 1:
        return f"{start}training.batch_size={count // 2} needs half of it"
    return f"{start}a grid of {by_points(fitting(batch.grid.shape, 0.5))} points needs half of it, or a smaller model"


def _means(fabric: Fabric, diagnostics: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean of each diagnostic over the samples of all processes."""
    means = [float(values.float().mean()) for values in diagnostics.values()]
    if means and fabric.world_size > 1:
        together = fabric.all_reduce(torch.tensor(means, device=fabric.device), reduce_op="mean")
        means = torch.as_tensor(together).tolist()
    return dict(zip(diagnostics, means, strict=True))


def _any(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process: a signal may reach only one, and all must stop at one step."""
    if fabric.world_size == 1:
        return flag
    return bool(fabric.all_reduce(torch.tensor(float(flag), device=fabric.device), reduce_op="max"))


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """While open, SIGINT and SIGTERM ask for a stop after the current step; a second SIGINT acts at once."""
    if threading.current_thread() is not threading.main_thread():  # in a worker of Dask, whose signals are its own
        yield lambda: False
        return
    received: list[int] = []

    def ask(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Clock:
    """Seconds spent in each part of the steps. An accelerator is waited for, or its work would count later."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._waits = device.type == "cuda"
        self._at = time.perf_counter()

    def start(self) -> None:
        self._at = time.perf_counter()

    def lap(self, part: str) -> None:
        if self._waits:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[part] += now - self._at
        self._at = now

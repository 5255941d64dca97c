"""The training loop: one function, read from top to bottom."""

from __future__ import annotations

import copy
import math
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edframe.config import Training
from edframe.data.loading import Loader, batch_indices
from edframe.data.splits import Split
from edframe.errors import RunError
from edframe.interfaces import Loss
from edframe.metrics import nmae
from edframe.run import Run
from edframe.seeds import seed_for

LAST = "checkpoints/last.safetensors"
BEST = "checkpoints/best.safetensors"


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
    resume: bool,
    show: Callable[[Mapping[str, Any]], None],
) -> nn.Module:
    """Minimise ``loss`` on ``split.train``; returns the model with the averaged weights that validated best.

    Everything random is a function of ``seed`` and the step, so a resumed run repeats what the uninterrupted one
    would have done, bit for bit on one CPU device. ``show`` gets every event that is logged. Raises Interrupted
    after SIGINT or SIGTERM, with a checkpoint saved; RunError when the loss is no longer finite or the disk is full.
    """
    average = copy.deepcopy(model).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    start, best, elapsed = 0, math.inf, 0.0
    if resume:
        tensors, saved = run.load_tensors(LAST)
        start, best, elapsed = int(saved["step"]), float(saved["best"]), float(saved["seconds"])
        _restore(tensors, model, average, optimiser)
        if fabric.is_global_zero:
            run.rewind(start)
    average.to(fabric.device)
    wrapped, optimiser = fabric.setup(model, optimiser)
    began = time.perf_counter() - elapsed
    clock = _Clock()

    def save(step: int) -> None:
        if fabric.is_global_zero:
            state = {"step": str(step), "best": repr(best), "seconds": repr(time.perf_counter() - began)}
            run.save_tensors(LAST, _snapshot(model, average, optimiser), {**header, **state})
        fabric.barrier()

    def log(event: Mapping[str, Any]) -> None:
        if fabric.is_global_zero:
            run.log(event)
            show(event)

    with _stop_signals() as stopped:
        for step in range(start + 1, options.steps + 1):
            wrapped.train()
            torch.manual_seed(seed_for(seed, "dropout", step, fabric.global_rank))
            drawn = batch_indices(split.train, options.batch_size * fabric.world_size, step - 1, seed)
            batch = loader.batch(drawn[fabric.global_rank :: fabric.world_size])
            if options.augment:
                batch = loader.augmented(batch, seed_for(seed, "augmentation", step, fabric.global_rank))
            clock.lap("data")
            features = batch.features
            predicted = wrapped(features.channels, features.baseline, batch.grid, batch.electrons)
            clock.lap("forward")
            values, diagnostics = loss.with_diagnostics(predicted.float(), batch.density, batch.grid)
            value = values.mean()
            clock.lap("loss")
            rate = learning_rate(step, options)
            for group in optimiser.param_groups:
                group["lr"] = rate
            fabric.backward(value)
            clipped = fabric.clip_gradients(wrapped, optimiser, max_norm=options.clip_norm, error_if_nonfinite=False)
            norm = math.nan if clipped is None else float(clipped)
            if not (math.isfinite(value.item()) and math.isfinite(norm)):
                raise RunError(
                    f"the loss is not finite at step {step} ({value.item()}); lower training.learning_rate or "
                    f"training.clip_norm; the last checkpoint in {run.path / 'checkpoints'} is intact"
                )
            optimiser.step()
            optimiser.zero_grad()
            _update_average(average, model, min(options.ema_decay, step / (step + 10)))
            clock.lap("backward")
            log(
                {"event": "step", "step": step, "loss": value.item(), "learning_rate": rate}
                | {"gradient_norm": norm, "seconds": time.perf_counter() - began}
                | {key: float(extra.float().mean()) for key, extra in diagnostics.items()}
            )
            last = step == options.steps
            if last or step % options.evaluate_every == 0:
                error = validate(average, loader, split.validation)
                if error < best:
                    best = error
                    if fabric.is_global_zero:
                        run.save_tensors(BEST, average.state_dict(), {**header, "step": str(step), "nmae": repr(error)})
                log({"event": "validation", "step": step, "nmae": error, "seconds": time.perf_counter() - began})
            if last or stopped() or step % options.checkpoint_every == 0:
                save(step)
            clock.skip()
            if stopped() and not last:
                raise Interrupted(step)
    log({"event": "timing", "steps": options.steps - start, **clock.seconds})
    best_weights, _ = run.load_tensors(BEST)
    average.load_state_dict(best_weights)
    return average


def learning_rate(step: int, options: Training) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step; steps count from 1."""
    if step <= options.warmup_steps:
        return options.learning_rate * step / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@torch.no_grad()
def validate(model: nn.Module, loader: Loader, indices: Sequence[int]) -> float:
    """Mean NMAE in % over the samples at ``indices``."""
    errors = []
    for index in indices:
        batch = loader.batch([index])
        predicted = model(batch.features.channels, batch.features.baseline, batch.grid, batch.electrons)
        errors.append(float(nmae(predicted, batch.density)))
    return sum(errors) / len(errors)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)
    for buffer, source in zip(average.buffers(), model.buffers(), strict=True):
        buffer.copy_(source)


def _snapshot(model: nn.Module, average: nn.Module, optimiser: Any) -> dict[str, Tensor]:
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    return tensors


def _restore(tensors: Mapping[str, Tensor], model: nn.Module, average: nn.Module, optimiser: Any) -> None:
    def part(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    try:
        model.load_state_dict(part("model."))
        average.load_state_dict(part("average."))
    except RuntimeError as error:
        raise RunError(
            f"the checkpoint does not fit the model ({str(error).splitlines()[-1].strip()}); was config.yaml edited, "
            "or the plugin changed since? Repeat the run from its config.yaml"
        ) from error
    state: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, value in part("optimiser.").items():
        index, name = key.split(".", 1)
        state[int(index)][name] = value
    optimiser.load_state_dict({"state": dict(state), "param_groups": optimiser.state_dict()["param_groups"]})


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """While open, SIGINT and SIGTERM ask for a stop after the current step; a second SIGINT acts at once."""
    received: list[int] = []

    def ask(signum: int, _: object) -> None:
        received.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Clock:
    """Seconds spent in each part of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._at = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] += now - self._at
        self._at = now

    def skip(self) -> None:
        self._at = time.perf_counter()

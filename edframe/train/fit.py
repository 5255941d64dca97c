"""The counterpart of training for models in closed form: one pass over the training samples, then one validation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from torch import nn

from edframe.data.loading import Loader
from edframe.data.splits import Split
from edframe.errors import ConfigError
from edframe.interfaces import Features, FittedModel, Loss
from edframe.runs.directory import Run
from edframe.runs.events import Event, Fit, Progress, Show, Timing, Validation
from edframe.sample import Sample
from edframe.train.checkpoint import BEST
from edframe.train.loop import validation_means
from edframe.train.peak_memory import forget_peak, peak_memory


def fit(
    model: nn.Module,
    loss: Loss,
    loader: Loader,
    split: Split,
    *,
    run: Run,
    header: Mapping[str, str],
    show: Show,
) -> nn.Module:
    """Fit ``model`` to ``split.train`` and save it where training saves its best weights; returns it.

    Logs what the fit found, NMAE in % and ``loss`` on ``split.validation``, and seconds, all as step 1. ``show`` gets
    every event, and progress. Stopped before the end, nothing is saved: a continued run fits again. Raises ConfigError
    for a model that cannot be fitted, RunError when the validation NMAE is not finite or the disk is full.
    """
    if not isinstance(model, FittedModel):
        raise ConfigError(f"{type(model).__name__} has no method `fit`: train it instead")
    run.rewind(0)
    forget_peak(loader.device)
    began = time.perf_counter()
    reading = 0.0

    def samples() -> Iterator[tuple[Features, Sample]]:
        nonlocal reading
        batches = loader.stream([index] for index in split.train)
        for done in range(1, len(split.train) + 1):
            asked = time.perf_counter()
            batch = next(batches)
            reading += time.perf_counter() - asked
            yield batch.features, batch.samples[0]
            show(Progress("fitting", done, len(split.train)))

    def log(event: Event) -> None:
        run.log(event)
        show(event)

    module = model.to(loader.device).eval()
    numbers = model.fit(samples())
    fitted = time.perf_counter()
    log(Fit(1, len(split.train), fitted - began, dict(numbers)))
    means = validation_means(module, loss, loader, split.validation)
    seconds = time.perf_counter() - began
    run.save_tensors(BEST, module.state_dict(), {**header, "step": "1", **means.header})
    log(Validation(1, means.nmae, seconds, means.loss))
    parts = {"data": reading, "fit": fitted - began - reading, "validation": began + seconds - fitted}
    log(Timing(1, 1, parts, peak_memory(loader.device)))
    return module

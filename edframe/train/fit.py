"""The counterpart of training for models in closed form: one pass over the training samples, then one validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from edframe.data.loading import Loader
from edframe.data.splits import Split
from edframe.errors import ConfigError
from edframe.interfaces import Features, FittedModel
from edframe.run.directory import Run
from edframe.sample import Sample
from edframe.train.checkpoint import BEST
from edframe.train.loop import validation_error
from edframe.train.peak_memory import forget_peak, peak_memory


def fit(
    model: nn.Module,
    loader: Loader,
    split: Split,
    *,
    run: Run,
    header: Mapping[str, str],
    show: Callable[[Mapping[str, Any]], None],
) -> nn.Module:
    """Fit ``model`` to ``split.train`` and save it where training saves its best weights; returns it.

    Logs what the fit found, the NMAE on ``split.validation`` in % and seconds, all as step 1. ``show`` gets every
    event, and progress. Stopped before the end, nothing is kept: a continued run fits again. Raises ConfigError for a
    model that cannot be fitted, RunError when the validation NMAE is not finite or the disk is full.
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
            show({"event": "progress", "what": "fitting", "done": done, "total": len(split.train)})

    def log(event: Mapping[str, Any]) -> None:
        run.log(event)
        show(event)

    module = model.to(loader.device).eval()
    found = model.fit(samples())
    fitted = time.perf_counter()
    log({"event": "fit", "step": 1, "samples": len(split.train), "seconds": fitted - began, "found": dict(found)})
    error = validation_error(module, loader, split.validation)
    seconds = time.perf_counter() - began
    run.save_tensors(BEST, module.state_dict(), {**header, "step": "1", "nmae": repr(error)})
    log({"event": "validation", "step": 1, "nmae": error, "seconds": seconds})
    parts = {"data": reading, "fit": fitted - began - reading, "validation": began + seconds - fitted}
    log({"event": "timing", "step": 1, "steps": 1, **parts, "peak_memory": peak_memory(loader.device)})
    return module

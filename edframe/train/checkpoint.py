"""The state of a training, on disk: everything that a continued run needs to repeat the uninterrupted one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor, nn

from edframe.errors import RunError
from edframe.runs.directory import Run
from edframe.train.visits import Visits

if TYPE_CHECKING:
    from jaxtyping import Shaped

LAST = "checkpoints/last.safetensors"
BEST = "checkpoints/best.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Steps taken, best validation NMAE in %, seconds spent, and all tensors by name. The default is the start."""

    step: int = 0
    best: float = math.inf
    seconds: float = 0.0
    tensors: Mapping[str, Shaped[Tensor, "..."]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        step: int,
        best: float,
        seconds: float,
        model: nn.Module,
        average: nn.Module,
        optimiser: Any,
        memory: Visits | None = None,
    ) -> Checkpoint:
        """The state after ``step``: weights, their running average, the optimiser, and what the loss stores of samples.

        Tensors are shared, not copied: save it before the next step.
        """
        tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        if memory is not None:
            tensors |= {f"memory.{key}": value for key, value in memory.state().items()}
        return cls(step, best, seconds, tensors)

    @classmethod
    def load(cls, run: Run) -> Checkpoint:
        """The last one of a run, or the start when there is none yet.

        Raises RunError when it is damaged, or when config.yaml was edited since: the result would belong to neither
        configuration. Only ``device`` may differ.
        """
        if not (run.path / LAST).exists():
            return cls()
        tensors, header = run.load_tensors(LAST)
        with run.reading(LAST):
            best, seconds = float(header["best"]), float(header["seconds"])
            checkpoint, then = cls(int(header["step"]), best, seconds, tensors), dict(yaml.safe_load(header["config"]))
            if checkpoint.step < 1 or not best >= 0 or not 0 <= seconds < math.inf:
                raise ValueError(f"step {checkpoint.step}, best {best}, seconds {seconds}")
        now = run.config()
        for difference in _differences({**then, "device": ""}, {**now, "device": ""}):
            raise RunError(
                f"{run.path / 'config.yaml'} was edited since the checkpoint was saved ({difference}); undo that to "
                f"continue, or start again by {run.again}"
            )
        return checkpoint

    def save(self, run: Run, header: Mapping[str, str]) -> None:
        """Write it as the last one. Raises RunError, the former one intact, when the disk is full."""
        state = {"step": str(self.step), "best": repr(self.best), "seconds": repr(self.seconds)}
        run.save_tensors(LAST, self.tensors, {**header, **state})

    def restore(self, model: nn.Module, average: nn.Module, optimiser: Any, memory: Visits | None = None) -> None:
        """Put the tensors back where ``of`` took them, on any device.

        Raises RunError when they do not fit, or a weight is not finite.
        """
        if not self.tensors:
            return
        try:
            model.load_state_dict(self._part("model."))
            average.load_state_dict(self._part("average."))
        except RuntimeError as error:
            raise RunError(
                f"the checkpoint does not fit the model ({str(error).splitlines()[-1].strip()}): its plugin changed "
                "since; install the versions named in provenance.json, or start again from config.yaml"
            ) from error
        for part in (model, average):
            require_finite(part, "the checkpoint")
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in self._part("optimiser.").items():
            index, name = key.split(".", 1)
            state[int(index)][name] = value
        optimiser.load_state_dict({"state": dict(state), "param_groups": optimiser.state_dict()["param_groups"]})
        if memory is not None:
            memory.restore(self._part("memory."))

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def require_finite(model: nn.Module, what: str) -> None:
    """Raises RunError, which names ``what`` the weights come from, for a weight that is not finite."""
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise RunError(
                f"{what} holds a weight that is not finite, in '{name}'; restore it from a copy, or start again from "
                "config.yaml"
            )


def _differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in {**then, **now}:
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif then != now:
        yield f"{path} was {then}, is {now}"

"""What components return in a run, held to what their kind promises: the first wrong value is an error that names the
component and its distribution, instead of one number too many or too few in every later sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edframe.contract.component import Kind
from edframe.errors import PluginError
from edframe.grid import Grid
from edframe.interfaces import Features, Loss, Visit
from edframe.runs.events import RESERVED

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

REPORT = "report this to the authors of the plugin"


def guarded(made: Any, kind: Kind, label: str, spins: int = 1) -> Any:
    """A component that was made by its factory, held to its promises at each call; label: what an error calls it.

    spins: channels of the densities that a model was made for. Featurizers and datasets are returned as they are, see
    ``check_features`` and ``Sample``. Raises PluginError for a loss without a unit.
    """
    if kind == "loss":
        return GuardedLoss(made, label)
    if kind == "model" and isinstance(made, nn.Module):
        _guard_model(made, label, spins)
    return made


class GuardedLoss(Loss):
    """A loss that returns one number per sample, or raises PluginError."""

    def __init__(self, loss: Loss, label: str) -> None:
        self.loss = loss
        self.label = label
        unit = getattr(loss, "unit", None)
        if not isinstance(unit, str):
            raise PluginError(f"{label} has no unit: its `unit` must be text, such as 'e/Å^d', not {unit!r}; {REPORT}")
        self.unit = unit

    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """See ``edframe.interfaces.Loss``."""
        return self._checked(self.loss(predicted, reference, grid), len(predicted))

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """See ``edframe.interfaces.Loss``."""
        returned = self.loss.with_diagnostics(predicted, reference, grid, visit)
        if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Mapping):
            raise PluginError(f"{self.label}: its with_diagnostics must return a value and a mapping; {REPORT}")
        value, diagnostics = returned
        for name in RESERVED & diagnostics.keys():
            raise PluginError(
                f"{self.label} has a diagnostic '{name}', which is the name of something else in the events of a run: "
                f"it must be renamed; {REPORT}"
            )
        return self._checked(value, len(predicted)), diagnostics

    def _checked(self, value: Tensor, batch: int) -> Tensor:
        if not isinstance(value, Tensor) or value.shape != (batch,):
            raise PluginError(
                f"{self.label} returned a value {_shape(value)} for a batch of {batch}: a loss gives one number per "
                f"sample, [{batch}]; {REPORT}"
            )
        return value


def _guard_model(model: nn.Module, label: str, spins: int) -> None:
    """Check each density that ``model`` returns, by a hook: a module around it would rename its weights."""

    def check(_: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any], density: Any) -> None:
        inputs = dict(zip(("channels", "baseline", "grid", "electrons"), given, strict=False)) | dict(named)
        channels, grid = inputs["channels"], inputs["grid"]
        wanted = (len(channels), spins, *grid.shape)
        if not isinstance(density, Tensor) or density.shape != wanted:
            raise PluginError(
                f"{label} returned a density {_shape(density)} where [b, s, {'x, y, z'[: 3 * grid.dimension - 2]}] is "
                f"{list(wanted)}; {REPORT}"
            )
        kind = channels.device.type
        mixed = kind != "meta" and torch.is_autocast_enabled(kind)  # of a trial run without numbers, for its memory
        if not density.is_floating_point() or (density.dtype.itemsize < 4 and not mixed):
            raise PluginError(
                f"{label} returned a density of {density.dtype}, too coarse to integrate to its electrons: it must "
                f"be float32 or float64; {REPORT}"
            )

    model.register_forward_hook(check, with_kwargs=True)


def check_features(features: Features, names: Sequence[str], grid: Grid, count: int, label: str) -> None:
    """Raises PluginError when the features of ``count`` structures on ``grid`` are not what a featurizer promises.

    names: of its channels. label: what an error calls it.
    """
    channels, baseline = features.channels, features.baseline
    wanted = (count, len(names), *grid.shape)
    if not isinstance(channels, Tensor) or channels.ndim != len(wanted) or channels.shape != wanted:
        raise PluginError(
            f"{label} names {len(names)} channels ({', '.join(names)}) and returned channels {_shape(channels)} where "
            f"[b, c, {'x, y, z'[: 3 * grid.dimension - 2]}] is {list(wanted)}; {REPORT}"
        )
    if channels.dtype != torch.float32:
        raise PluginError(f"{label} returned channels of {channels.dtype}: they must be float32; {REPORT}")
    if baseline is not None and (baseline.ndim != len(wanted) or (len(baseline), *baseline.shape[2:]) != (
        count, *grid.shape
    )):  # fmt: skip
        raise PluginError(
            f"{label} returned a baseline {_shape(baseline)} on a grid of shape {list(grid.shape)} for {count} "
            f"structures; {REPORT}"
        )


def _shape(value: Any) -> str:
    return f"of shape {list(value.shape)}" if isinstance(value, Tensor) else f"that is a {type(value).__name__}"

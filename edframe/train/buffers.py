"""Buffers whose sizes follow from a fit, restored from a file into a model that was not fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from torch import Tensor

__all__ = ["take_sizes"]


def take_sizes(module: nn.Module, state: Mapping[str, Shaped[Tensor, "..."]], prefix: str, *_: Any) -> None:
    """Give each buffer of ``module`` the size and type of the one that is loaded for it, on its own device.

    Without it, ``load_state_dict`` refuses a buffer of another size. A module that is fitted has in its ``__init__``

        self.register_load_state_dict_pre_hook(take_sizes)

    Buffers of submodules keep their sizes.
    """
    for name, buffer in list(module.named_buffers(recurse=False)):
        stored = state.get(f"{prefix}{name}")
        if stored is not None:
            setattr(module, name, torch.empty_like(stored, device=buffer.device))

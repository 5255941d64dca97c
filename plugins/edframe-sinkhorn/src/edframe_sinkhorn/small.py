"""Exponentials, logarithms and products of small fields on a CPU by numpy, which takes half as long as torch for them.

Both use the same memory. numpy's products are stacks of matrices so small that its library divides none among threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

Reals = NDArray[np.floating]

POINTS = 40**3
"""Numbers in a small field: torch divides larger ones among threads."""

ALONE = 64**3
"""The same where torch has one thread."""


def small(field: Float[Tensor, "..."]) -> bool:
    """Whether numpy is faster for it."""
    points = field.numel()
    if field.device.type != "cpu" or points > ALONE:
        return False
    return points <= POINTS or torch.get_num_threads() == 1


def exp_(field: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In place."""
    return _in_place(field, np.exp, torch.exp_)


def log_(field: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In place."""
    return _in_place(field, np.log, torch.log_)


def _in_place(field: Tensor, by_numpy: np.ufunc, by_torch: Callable[[Tensor], Tensor]) -> Tensor:
    if not small(field):
        return by_torch(field)
    values = field.numpy()
    with np.errstate(all="ignore"):
        by_numpy(values, out=values)
    return field


def along_axis(
    matrix: Float[Tensor, "m n"], field: Float[Tensor, "..."], axis: int, out: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """``matrix`` ``[m, n]`` times one axis of ``field`` ``[b, …, n, …]``, contiguous, as a few plain products."""
    rows, columns = matrix.shape
    shape = field.shape
    result = (*shape[:axis], rows, *shape[axis + 1 :])
    if out is None:
        out = field.new_empty(result)
    if small(field):
        columns_first = matrix.mT.contiguous() if axis == field.ndim - 1 else matrix
        apply_along(columns_first.numpy(), field.numpy(), axis, out.numpy())
        return out
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    if after == 1:
        torch.mm(field.reshape(before, columns), matrix.mT, out=out.view(before, rows))
    elif before == 1:
        torch.mm(matrix, field.reshape(columns, after), out=out.view(rows, after))
    else:
        stack = field.reshape(before, columns, after)
        torch.bmm(matrix.expand(before, rows, columns), stack, out=out.view(before, rows, after))
    return out


def apply_along(matrix: Reals, field: Reals, axis: int, out: Reals) -> None:
    """``matrix``, a symmetric or transposed one for the last axis, times one axis of ``field`` ``[b, n1, …, nd]``."""
    if axis == field.ndim - 1:
        np.matmul(field, matrix, out=out)
    else:  # a stack of products with the last two axes
        np.matmul(matrix, field.swapaxes(axis, -2), out=out.swapaxes(axis, -2))

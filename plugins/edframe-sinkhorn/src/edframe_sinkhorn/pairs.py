"""The Gibbs kernel over all pairs of points of any grid, evaluated on the fly by KeOps (needs a C++ compiler)."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from edframe.data.cache import cache_folder
from edframe.errors import ConfigError
from edframe_sinkhorn.images import NearestImage
from edframe_sinkhorn.kernel import smallest_with

if TYPE_CHECKING:
    from jaxtyping import Float

LOWEST = -1e300
"""Stands for log 0: KeOps takes the difference of two logarithms, and −inf − (−inf) is not a number."""

AVOID = "or leave out KeOps with `--set loss.backend=auto`"


class PairKernel:
    """K = exp(−c/ε), c = |x − y|²/2 (p = 2) or |x − y| (p = 1), to the nearest image along periodic axes.

    Nothing of size N² is stored: the memory is that of a few densities. The first use of a formula takes some 8 s to
    compile, once per user. Formulas differ by p and the numbers of axes and of periodic axes, not by cell, size, blur
    or batch.

    voxel: edges as rows, ``[d, d]`` in Å. shape, periodic: of the grid. epsilon: blur² in Å² for p = 2, blur in Å for
    p = 1. Raises ConfigError where pykeops is not installed or lacks the GPU, and on first use where it cannot compile.
    """

    def __init__(
        self,
        voxel: ArrayLike,
        shape: Sequence[int],
        periodic: Sequence[bool],
        epsilon: float,
        p: int,
        device: torch.device | str,
    ) -> None:
        self.shape = tuple(shape)
        self.epsilon = epsilon
        self.single = False
        keops = _keops()
        lazy = keops.torch.LazyTensor
        self._lazy = lazy
        self._backend = "GPU" if torch.device(device).type == "cuda" else "CPU"
        if self._backend == "GPU" and not keops.config.gpu_available:
            raise ConfigError(f"KeOps finds no CUDA libraries (cuda, nvrtc) for the GPU: install them, {AVOID}")
        images = NearestImage(voxel, shape, periodic)
        scale = (2 * epsilon) ** 0.5 if p == 2 else epsilon  # Å; the squared distance in it is c/ε, or its square
        axes = [torch.arange(n, dtype=torch.float64) for n in self.shape]
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(self.shape))
        points = index @ torch.as_tensor(voxel, dtype=torch.float64)
        coordinates = points @ images.dual
        beside = points - coordinates @ images.basis  # across the periodic axes; zero where all are

        def parameter(values: Tensor) -> Any:
            return lazy(values.reshape(1, 1, 1, -1).to(device))

        def difference(values: Tensor) -> Any:
            on_device = values.to(device).contiguous()
            return lazy(on_device[None, :, None]) - lazy(on_device[None, None, :])

        if not any(periodic):
            squared = (difference(points / scale) ** 2).sum(-1)
        else:
            # As NearestImage.squared does, in reduced coordinates; two steps round (−1, 1), quicker than C++'s round.
            around = difference(coordinates - coordinates.floor())
            near = around - ((around - 0.5).step() - (-0.5 - around).step())
            apart = near.vecmatmult(parameter(images.basis / scale))
            if not all(periodic):
                apart = apart + difference(beside / scale)
            neighbours = images.neighbours / scale
            along = near.vecmatmult(parameter(2 * images.basis @ neighbours.T / scale))
            gained = along.abs() - parameter(neighbours.square().sum(1))
            squared = (apart**2).sum(-1) - gained.max(-1).relu()
        self._log = -squared if p == 2 else -squared.relu().sqrt()

    def apply(
        self, density: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"] | None = None, even: bool = False
    ) -> Float[Tensor, "b *grid"]:
        """K ``density``, float64 ``[b, n1, …, nd]``, in the scaling domain."""
        sources = self._lazy(density.reshape(len(density), 1, -1, 1))
        with compiling():
            sums = (self._log.exp() * sources).sum(dim=2, backend=self._backend)
        return torch.as_tensor(sums).reshape(density.shape)

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]:
        """As if K underflowed: it may, and to know would take all pairs."""
        return [smallest_with(-math.inf, density[0].numel())]

    def log_apply(self, log_density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """log(K exp(``log_density``)), float64 ``[b, n1, …, nd]`` of any range; −inf means zero density."""
        sources = self._lazy(log_density.clamp(min=LOWEST).reshape(len(log_density), 1, -1, 1))
        with compiling():
            logs = (self._log + sources).logsumexp(dim=2, backend=self._backend)
        result = torch.as_tensor(logs).reshape(log_density.shape)
        return result.masked_fill(result <= LOWEST / 2, -torch.inf)


def _keops() -> Any:
    """The module pykeops. Unless ``$KEOPS_CACHE_FOLDER`` is set, it stores its formulas in edframe's cache folder."""
    if "pykeops" not in sys.modules:  # which reads the variable when it is imported
        os.environ.setdefault("KEOPS_CACHE_FOLDER", str(cache_folder() / "keops"))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import pykeops.torch  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"KeOps is not installed (no module {error.name}): pip install 'edframe-sinkhorn[keops]', {AVOID}"
        ) from error
    return pykeops


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Around what may compile a formula: messages go to stderr, and ConfigError says what the compiler lacks."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ImportError as error:  # of the module that was to be compiled
        raise ConfigError(f"KeOps could not compile its formula: {_lacking()}, {AVOID}") from error


def _lacking() -> str:
    """What prevents KeOps from compiling, and the fix."""
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        return f"there is no C++ compiler {compiler!r}; install g++ or name another in $CXX"
    headers = sysconfig.get_path("include")
    if not (Path(headers) / "Python.h").exists():
        return f"there is no Python.h in {headers}; install the headers of Python (python3-dev)"
    return "the compiler's message is above; fix that"

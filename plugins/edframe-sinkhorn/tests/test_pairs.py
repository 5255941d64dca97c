"""Kernels over all pairs, by KeOps and as Toeplitz matrices, against costs found by trying many images."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig

import geomloss
import numpy as np
import pytest
import torch
from edframe_sinkhorn import pairs
from edframe_sinkhorn.images import NearestImage
from edframe_sinkhorn.pairs import PairKernel
from edframe_sinkhorn.toeplitz import ToeplitzKernel
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from edframe.errors import ConfigError
from edframe.grid import Grid

SKEWED = [[2.0, 0.0, 0.0], [1.7, 1.9, 0.0], [-2.9, 2.3, 2.4]]
SPACE = Grid.of(SKEWED, 5)

compiles = pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="needs a C++ compiler")
KERNELS = [ToeplitzKernel, pytest.param(PairKernel, marks=compiles)]
OTHERS = {
    "open": Grid.of(SKEWED, (3, 4, 5), False),
    "slab": Grid.of(SKEWED, (5, 3, 4), (True, False, True)),
    "wire": Grid.of(SKEWED, (4, 5, 3), (False, False, True)),
    "plane": Grid.of([[2.0, 0.0], [3.1, 1.8]], (6, 7)),
    "line": Grid.of([7.0], 13),
    "one-voxel-axis": Grid.of(SKEWED, (1, 4, 5)),
}


def kernel_on(grid, kind, p=2, blur=0.5):
    return kind(grid.voxel, grid.shape, grid.periodic, blur**p, p, "cpu")


def squared_by_trying(apart, grid):
    """Least |x + v|² over all lattice vectors v with |v| ≤ 2|x|: the nearest image has one of them."""
    lattice = grid.vectors[np.array(grid.periodic)]
    if not len(lattice):
        return (apart**2).sum(-1)
    farthest = np.linalg.norm(apart, axis=-1).max()
    reach = np.floor(2 * farthest * np.linalg.norm(np.linalg.pinv(lattice), axis=0) + 1e-9).astype(int)
    least = np.full(apart.shape[:-1], np.inf)
    for multiples in itertools.product(*(range(-r, r + 1) for r in reach)):
        least = np.minimum(least, ((apart + multiples @ lattice) ** 2).sum(-1))
    return least


def dense_log_kernel(grid, p, blur=0.5):
    """−c/ε between all pairs, ``[N, N]``."""
    steps = np.stack(np.meshgrid(*[np.arange(1 - n, n) for n in grid.shape], indexing="ij"), -1)
    table = squared_by_trying(steps @ grid.voxel, grid)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, grid.dimension)
    between = index[:, None] - index[None] + np.array(grid.shape) - 1
    squared = table[tuple(np.moveaxis(between, -1, 0))]
    return -squared / (2 * blur**2) if p == 2 else -np.sqrt(squared) / blur


def assert_equals_dense(kernel, grid, p):
    log_kernel = dense_log_kernel(grid, p)
    rng = np.random.default_rng(0)
    exponents = rng.normal(size=(3, grid.points)) * np.array([[1.0], [300.0], [1e4]])
    exponents[1:, rng.random(grid.points) < 0.3] = -np.inf
    wanted = logsumexp(log_kernel[None] + exponents[:, None], axis=-1)
    applied = kernel.log_apply(torch.from_numpy(exponents).reshape(3, *grid.shape))
    np.testing.assert_allclose(applied.reshape(3, -1).numpy(), wanted, rtol=1e-12, atol=1e-11)
    density = np.exp(exponents[0])
    applied = kernel.apply(torch.from_numpy(density).reshape(1, *grid.shape))
    np.testing.assert_allclose(applied.flatten().numpy(), np.exp(log_kernel) @ density, rtol=1e-11)


@st.composite
def grids(draw):
    """Grids in cells of any skewness, periodic along any axes."""
    d = draw(st.sampled_from((1, 2, 3)))
    entries = st.floats(-4, 4, allow_nan=False)
    cell = np.array(draw(st.lists(entries, min_size=d * d, max_size=d * d))).reshape(d, d)
    assume(abs(np.linalg.det(cell)) > 0.05 * np.linalg.norm(cell, axis=1).prod() > 1e-3)
    return Grid.of(cell, draw(st.tuples(*[st.integers(1, 6)] * d)), draw(st.tuples(*[st.booleans()] * d)))


@settings(deadline=None, max_examples=60)
@given(grids(), st.integers(0, 2**32 - 1))
def test_the_distance_is_that_to_the_nearest_of_all_images(grid, seed):
    apart = (np.random.default_rng(seed).random((20, grid.dimension)) * 2 - 1) @ grid.vectors
    squared = NearestImage(grid.voxel, grid.shape, grid.periodic).squared(torch.from_numpy(apart)).numpy()
    np.testing.assert_allclose(squared, squared_by_trying(apart, grid), rtol=1e-9, atol=1e-9)


@compiles
@settings(deadline=None, max_examples=30)
@given(cell=st.lists(st.floats(-4, 4, allow_nan=False), min_size=9, max_size=9), seed=st.integers(0, 999))
def test_keops_finds_the_same_cost_in_any_periodic_cell(cell, seed):
    cell = np.array(cell).reshape(3, 3)
    assume(abs(np.linalg.det(cell)) > 0.05 * np.linalg.norm(cell, axis=1).prod() > 1e-3)
    grid = Grid.of(cell, (3, 4, 5))
    point = torch.full((1, 60), -torch.inf, dtype=torch.float64)
    point[0, seed % 60] = 0.0  # all of the density in one point: the row of the kernel that belongs to it
    point = point.reshape(1, *grid.shape)
    applied, wanted = (kernel_on(grid, kind).log_apply(point) for kind in (PairKernel, ToeplitzKernel))
    torch.testing.assert_close(applied, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KERNELS)
def test_equals_the_dense_kernel_at_any_range(kind):
    assert_equals_dense(kernel_on(SPACE, kind), SPACE, 2)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", OTHERS)
def test_toeplitz_equals_the_dense_kernel_on_other_grids(name, p):
    assert_equals_dense(kernel_on(OTHERS[name], ToeplitzKernel, p), OTHERS[name], p)


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", OTHERS)
def test_keops_equals_the_dense_kernel_on_other_grids(name, p):
    assert_equals_dense(kernel_on(OTHERS[name], PairKernel, p), OTHERS[name], p)


@pytest.mark.parametrize("kind", KERNELS)
def test_zero_density_has_zero_image(kind):
    nothing = torch.full((1, *SPACE.shape), -torch.inf, dtype=torch.float64)
    assert (kernel_on(SPACE, kind).log_apply(nothing) == -torch.inf).all()


def test_terms_below_the_range_of_the_kernel_are_not_lost():
    """The kernel is 0 in float64 between the ends, and yet the far peak outweighs the near vacuum there."""
    grid = Grid.of([50.0], 50, False)
    density = torch.full((1, 50), -900.0, dtype=torch.float64)
    density[0, 0] = 0.0
    exact = logsumexp(dense_log_kernel(grid, 2, 1.0) + density.numpy(), axis=1)
    applied = kernel_on(grid, ToeplitzKernel, blur=1.0).log_apply(density)
    np.testing.assert_allclose(applied[0].numpy(), exact, rtol=1e-12)


def divergence(kernel, a, b, steps=3000):
    """S by plain averaged iterations, to convergence."""
    epsilon = kernel.epsilon

    def transport(a, b):
        f, g = torch.zeros_like(a), torch.zeros_like(b)
        for _ in range(steps):
            new_f = -kernel.log_apply(b.log() + g)
            new_g = -kernel.log_apply(a.log() + f)
            moved = (new_f - f).abs().max() + (new_g - g).abs().max()
            f, g = (f + new_f) / 2, (g + new_g) / 2
            if moved < 1e-11:
                break
        return epsilon * ((a * f).sum() + (b * g).sum()).item()

    return transport(a, b) - (transport(a, a) + transport(b, b)) / 2


@pytest.mark.parametrize("kind", [ToeplitzKernel, pytest.param(PairKernel, marks=(compiles, pytest.mark.slow))])
@pytest.mark.parametrize("p", [1, 2])
def test_divergence_equals_that_of_geomloss_in_an_open_triclinic_cell(kind, p):
    grid = Grid.of(SKEWED, (4, 5, 4), False)
    blur = 0.8
    rng = np.random.default_rng(1)
    a, b = (torch.from_numpy(rng.random((1, *grid.shape)) ** 3 + 1e-6) for _ in range(2))
    a, b = a / a.sum(), b / b.sum()
    points = torch.from_numpy(grid.coordinates().reshape(-1, 3))
    # geomloss lowers the blur step by step and stops there: its error falls with 1 − scaling. Its own distance is at
    # least 1e-4.
    cost = torch.cdist if p == 1 else None
    theirs = geomloss.SamplesLoss("sinkhorn", p=p, blur=blur, scaling=0.999, cost=cost, backend="tensorized")
    wanted = theirs(a.flatten(), points, b.flatten(), points).item()
    assert divergence(kernel_on(grid, kind, p, blur), a, b) == pytest.approx(wanted, rel=1e-5)


USE = """
from edframe.errors import ConfigError
from edframe_sinkhorn.pairs import PairKernel
import torch
try:
    PairKernel([[1.0]], (4,), (False,), 1.0, 2, "cpu").apply(torch.ones(1, 4, dtype=torch.float64))
except ConfigError as error:
    print(error)
"""


def test_without_a_compiler_one_sentence_says_so_and_only_that_is_on_stdout(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "KEOPS_CACHE_FOLDER": str(tmp_path)}
    environment.pop("CXX", None)
    done = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("KeOps could not compile its formula: there is no C++ compiler 'g++'; install g++")
    assert done.stdout.count("\n") == 1
    assert "[KeOps]" in done.stderr or not done.stderr  # KeOps 2.2 says nothing itself


def test_missing_python_headers_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", sys.executable)  # something that is there
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(ConfigError, match=r"no Python.h in .*python3-dev.*loss.backend=auto"), pairs.compiling():
        raise ModuleNotFoundError("pykeops_cpp_0123456789")


def test_without_pykeops_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pykeops.torch", None)
    with pytest.raises(ConfigError, match=r"edframe-sinkhorn\[keops\].*loss.backend=auto"):
        kernel_on(SPACE, PairKernel)


def test_a_gpu_that_keops_cannot_use_is_an_error(monkeypatch):
    import pykeops.config

    monkeypatch.setattr(pykeops.config, "gpu_available", False)
    with pytest.raises(ConfigError, match=r"no CUDA libraries"):
        PairKernel(SPACE.voxel, SPACE.shape, SPACE.periodic, 0.25, 2, "cuda")


def test_formulas_are_kept_in_the_cache_folder_of_edframe_unless_told_otherwise(tmp_path):
    ask = USE + "\nimport pykeops\nprint(pykeops.get_build_folder())"
    environment = {**os.environ, "PATH": str(tmp_path), "EDFRAME_CACHE": str(tmp_path / "ours")}
    environment.pop("KEOPS_CACHE_FOLDER", None)
    for wanted in ("ours/keops", "theirs"):
        done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1].startswith(str(tmp_path / wanted))
        environment["KEOPS_CACHE_FOLDER"] = str(tmp_path / "theirs")

"""The scaling domain and the log domain: the same answers, and each where it should be."""

import math

import numpy as np
import pytest
import torch
from edframe_sinkhorn import scalings, sinkhorn_divergence
from edframe_sinkhorn.kernel import SeparableKernel, log_product, row_blocks, squared_distances
from scipy.special import logsumexp

from edframe.grid import Grid

TIGHT = {"tol": 1e-9, "max_iterations": 5000}


@pytest.mark.parametrize("options", [{}, {"reach": 0.7, "mass": "unbalanced"}, {"debias": False}], ids=str)
@pytest.mark.parametrize("zeros", [False, True])
def test_both_domains_agree(monkeypatch, densities, options, zeros):
    grid = Grid.of([2.5, 3.0, 4.0], (5, 6, 7), (True, False, True))
    pair = densities(grid, zeros=zeros)
    scaling = sinkhorn_divergence(*pair, grid, **TIGHT, **options)
    monkeypatch.setattr(SeparableKernel, "limits", lambda self, density: [float("inf")])  # no sum is good enough
    monkeypatch.setattr(scalings, "_within", lambda *_: False)
    logarithmic = sinkhorn_divergence(*pair, grid, **TIGHT, **options)
    assert (scaling.domain, logarithmic.domain) == ("scaling", "log")
    torch.testing.assert_close(logarithmic.value, scaling.value, rtol=1e-10, atol=0)
    scale = scaling.potential.abs().max().item()
    for name in ("potential", "reference_potential"):
        error = getattr(logarithmic, name) - getattr(scaling, name)
        if "reach" not in options:  # exact marginals leave a constant free
            error = error - error.flatten(1).mean(1).reshape(-1, 1, 1, 1)
        assert error.abs().max() < 1e-8 * scale


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize(("blur", "domain"), [(0.4, "scaling"), (0.1, "log")])
def test_the_domain_follows_from_the_range_and_both_equal_the_dense_solver(dense, atoms, dimension, blur, domain):
    # Over the 5.3 Å between the atoms the potentials vary by some 5.3²/2 Å²: 90 ε at blur 0.4, and 1,400 ε at 0.1.
    grid = Grid.of([6.4, 0.3, 0.2][:dimension], (64, 3, 2)[:dimension], False)
    near, far = (np.array([x, 0.1, 0.0])[:dimension] for x in (0.5, 5.8))
    a = atoms(grid, (near, 0.2, 0.5), (far, 0.2, 0.5), floor=1e-4)
    b = atoms(grid, (near, 0.2, 0.6), (far, 0.2, 0.4), floor=1e-4)
    exact = dense(a[0], b[0], grid, blur)
    ours = sinkhorn_divergence(a, b, grid, blur, tol=1e-8, max_iterations=20000)
    assert ours.domain == domain
    assert ours.marginal_error.item() <= 1e-8
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-6)
    error = ours.potential[0].numpy() - exact.potential
    assert np.ptp(error) <= 1e-4 * np.ptp(exact.potential)


@pytest.mark.parametrize("blur", [0.3, 0.1])
def test_potentials_far_from_all_mass_equal_the_dense_solver(dense, atoms, blur):
    # Nothing at all beyond 2 Å of the atoms, and no kernel that reaches the ends at the smaller blur.
    grid = Grid.of([24.0, 1.5], (80, 5), False)
    pair = [atoms(grid, ([place, 0.7], 0.3, 1)) for place in (11.0, 11.6)]
    a, b = (x * (x > 1e-6) for x in pair)
    assert (a == 0).sum() > 0.8 * a.numel()
    exact = dense(a[0], b[0], grid, blur)
    ours = sinkhorn_divergence(a, b, grid, blur, **TIGHT)
    assert ours.value.item() == pytest.approx(exact.value, rel=1e-8)
    for potential, wanted in (
        (ours.potential, exact.potential),
        (ours.reference_potential, exact.reference_potential),
    ):
        assert np.ptp(potential[0].numpy() - wanted) <= 1e-5 * np.ptp(wanted)


@pytest.mark.parametrize(("apart", "blur"), [(38, 1.0), (45, 1.0), (127, 1.0), (127, 0.3)])
def test_mass_beyond_the_reach_of_the_scaled_kernel_is_moved(apart, blur):
    # exp(−38.6²/2) is zero in float64, so in the scaling domain no electron goes farther than 38 blurs at once.
    grid = Grid.of([128.0], 128, False)
    a, b = torch.full((2, 1, 128), 1e-12, dtype=torch.float64)
    a[0, 0], b[0, 0], b[0, apart] = 1.0, 0.9, 0.1
    ours = sinkhorn_divergence(a, b, grid, blur, tol=1e-7, max_iterations=5000)
    assert ours.marginal_error.item() <= 1e-7
    # Of a point to two: 0.1 moves, and the self transport of b is that of two points which see nothing of each other.
    mixing = blur**2 / 2 * (0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert ours.value.item() == pytest.approx(0.1 * apart**2 / 2 + mixing, rel=1e-5)


@pytest.mark.parametrize("points", [1, 3, 40, 150])
@pytest.mark.parametrize("epsilon", [10.0, 0.5, 0.01])
def test_log_products_equal_scipy_at_any_range(points, epsilon):
    rng = np.random.default_rng(0)
    log_matrix = -squared_distances(points, points, False) / (2 * epsilon)
    lines = rng.uniform(-5000, 5000, (2, points, 6))
    lines[rng.random(lines.shape) < 0.3] = -np.inf
    lines[1, :, 2] = -np.inf
    with np.errstate(divide="ignore"):
        expected = logsumexp(log_matrix.numpy()[None, :, :, None] + lines[:, None], axis=2)
    products = log_product(log_matrix, torch.from_numpy(lines))
    np.testing.assert_allclose(products, expected, rtol=1e-13, atol=1e-10)
    assert (products[1, :, 2] == -torch.inf).all()


@pytest.mark.parametrize(("points", "epsilon", "several"), [(40, 10.0, False), (40, 0.5, True), (150, 10.0, True)])
def test_long_lines_are_cut_where_a_block_would_leave_the_range(points, epsilon, several):
    log_matrix = -squared_distances(points, points, False) / (2 * epsilon)
    blocks = row_blocks(log_matrix)
    assert [start for start, _ in blocks[1:]] == [stop for _, stop in blocks[:-1]]
    assert (blocks[0][0], blocks[-1][1]) == (0, points)
    assert (len(blocks) > 1) == several
    for start, stop in blocks:
        block = log_matrix[:, start:stop]
        assert (block.amax(1) - block.amin(1)).max() <= 600


@pytest.mark.parametrize("epsilon", [1.0, 0.01, 1e-4])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_kernel_equals_the_sum_over_all_pairs(cost, dimension, epsilon):
    lengths, shape, periodic = (x[:dimension] for x in ([3.0, 2.0, 4.0], (5, 3, 4), (True, False, True)))
    grid = Grid.of(lengths, shape, periodic)
    rng = np.random.default_rng(0)
    kernel = SeparableKernel(lengths, shape, periodic, epsilon, "cpu")
    pairs = -cost(grid) / epsilon
    log_density = rng.uniform(-2000, 2000, (2, *shape))
    applied = kernel.log_apply(torch.from_numpy(log_density))
    expected = logsumexp(log_density.reshape(2, 1, -1) + pairs, axis=-1).reshape(applied.shape)
    np.testing.assert_allclose(applied, expected, rtol=1e-12, atol=1e-10)
    density = rng.random((2, *shape))
    applied = kernel.apply(torch.from_numpy(density.copy()))  # it overwrites what it is given
    np.testing.assert_allclose(applied, (density.reshape(2, -1) @ np.exp(pairs)).reshape(applied.shape), rtol=1e-12)


@pytest.mark.parametrize("spread", [5.0, 40.0, 90.0])
def test_bands_of_magnitude_equal_scipy_and_leave_little_to_the_log_domain(spread, monkeypatch):
    # Log densities of up to 4 × 90 × 11 = 3960, as smooth as potentials are, with points that have none.
    shape, rng = (24, 22, 6), np.random.default_rng(0)
    kernel = SeparableKernel([float(n) for n in shape], shape, [False] * 3, 1.0, "cpu")
    x, y, z = np.meshgrid(*(np.arange(n) - 11.0 for n in shape), indexing="ij")
    log_density = np.stack([spread * (x + y + 0.1 * z), spread * np.abs(x - y)]) + rng.uniform(-3, 3, (2, *shape))
    log_density[rng.random(log_density.shape) < 0.2] = -np.inf
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    pairs = -((points[:, None] - points) ** 2).sum(-1) / 2
    with np.errstate(divide="ignore"):
        expected = logsumexp(log_density.reshape(2, 1, -1) + pairs, axis=-1).reshape(2, *shape)
    boxes = []
    one_by_one = SeparableKernel._log_box
    monkeypatch.setattr(
        SeparableKernel, "_log_box", lambda self, field, box: boxes.append(box) or one_by_one(self, field, box)
    )
    np.testing.assert_allclose(kernel.log_apply(torch.from_numpy(log_density)), expected, rtol=1e-12, atol=1e-10)
    in_log_domain = sum(math.prod(side.stop - side.start for side in box) for box in boxes)
    assert in_log_domain <= 0.1 * math.prod(shape)


@pytest.mark.parametrize("shape", [(128,), (3, 100), (100, 2, 3)])
def test_a_sum_that_lacks_terms_is_below_a_limit(shape):
    # Beyond 38 points the kernel is zero in float64: there a density of e^600 is lost behind one of e^−100.
    rng = np.random.default_rng(0)
    kernel = SeparableKernel([float(n) for n in shape], shape, [False] * len(shape), 1.0, "cpu")
    log_density = torch.from_numpy(rng.uniform(-700, 600, (30, *shape)))
    log_density[torch.from_numpy(rng.random(log_density.shape) < 0.98)] = -torch.inf
    exact = kernel.log_apply(log_density.clone())
    density = log_density.exp()
    limits = kernel.limits(density)
    sums = kernel.apply(density)
    trusted = torch.stack([(sums >= limit).expand_as(sums) for limit in limits]).all(0)
    wrong = (sums.log() - exact).abs() > 1e-9
    assert not (trusted & wrong).any()
    assert trusted.double().mean() > 0.1
    assert (wrong & (sums > 1e-280)).any()


def test_distances_on_a_periodic_axis_are_to_the_nearest_image():
    assert squared_distances(4.0, 4, True)[0].tolist() == [0, 1, 4, 1]
    assert squared_distances(4.0, 4, False)[0].tolist() == [0, 1, 4, 9]

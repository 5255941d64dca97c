"""Anderson mixing on maps whose solution and best iterates are known."""

import numpy as np
import pytest
import scipy.optimize
import torch
from edframe_sinkhorn.anderson import AndersonMixing


def linear_map(size, radius, seed=0):
    """x ↦ M x + c with eigenvalues of M between −``radius`` and ``radius``, and its fixed point."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    matrix = basis * np.linspace(-radius, radius, size) @ basis.T
    return matrix, rng.normal(size=size)


def iterates(mappings, weight, memory, steps, relaxation=1.0, start=0.0):
    """x₀, x₁, … of a batch of ``mappings``, ``[steps + 1, b, n]``."""
    mixing = AndersonMixing(torch.as_tensor(weight), memory, relaxation)
    x = torch.from_numpy(np.broadcast_to(start, weight.shape).astype(float))
    history = [x.numpy().copy()]
    for _ in range(steps):
        mixing.advance(x, residual(mappings, x))
        history.append(x.numpy().copy())
    return np.stack(history)


def residual(mappings, x):
    return torch.stack([torch.from_numpy(mapping(row.numpy())) for mapping, row in zip(mappings, x, strict=True)]) - x


@pytest.mark.parametrize("size", [1, 3, 6])
@pytest.mark.parametrize("radius", [0.5, 0.95])
def test_a_linear_map_is_solved_in_one_step_more_than_its_dimension(size, radius):
    matrix, offset = linear_map(size, radius)
    weight = np.random.default_rng(1).uniform(0.1, 1.0, size)
    last = iterates([lambda x: matrix @ x + offset], weight[None], memory=size, steps=size + 1)[-1, 0]
    solution = np.linalg.solve(np.eye(size) - matrix, offset)
    # Differences are kept in float32, so a plain iteration's error of 0.95⁷ falls by five orders of magnitude, not 16.
    assert np.abs(last - solution).max() < 1e-4 * np.abs(solution).max()


@pytest.mark.parametrize("size", [4, 8])
def test_each_step_is_the_image_of_the_best_in_the_krylov_space(size):
    # Walker and Ni 2011, theorem 2.2: the images of the iterates of GMRES, in the norm of the weight.
    matrix, offset = linear_map(size, 0.9)
    weight = np.random.default_rng(1).uniform(0.1, 1.0, size)
    steps = iterates([lambda x: matrix @ x + offset], weight[None], memory=size, steps=size)[:, 0]
    krylov = [offset]
    for step in range(1, size):
        space = np.stack(krylov, axis=1)
        root = np.sqrt(weight)[:, None]
        best = space @ np.linalg.lstsq(root * ((np.eye(size) - matrix) @ space), root[:, 0] * offset, rcond=None)[0]
        np.testing.assert_allclose(steps[step + 1], matrix @ best + offset, rtol=0, atol=1e-4 * np.abs(offset).max())
        krylov.append(matrix @ krylov[-1])
        krylov[-1] /= np.linalg.norm(krylov[-1])


def test_it_takes_the_steps_of_scipy_on_a_curved_map():
    matrix, offset = linear_map(5, 0.7)

    def mapping(x):
        return 0.9 * np.tanh(matrix @ x + offset)

    expected = []
    with pytest.raises(scipy.optimize.NoConvergence):  # after the steps wanted
        scipy.optimize.anderson(
            lambda x: mapping(x) - x,
            np.zeros(5),
            alpha=1.0,
            M=3,
            w0=1e-4,
            line_search=None,
            maxiter=6,
            f_tol=1e-14,
            callback=lambda x, _: expected.append(x.copy()),
        )
    ours = iterates([mapping], np.ones((1, 5)), memory=3, steps=len(expected))[1:, 0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


def test_components_without_weight_follow_the_map_only():
    matrix, offset = linear_map(4, 0.8)
    weight = np.array([[1.0, 1.0, 1.0, 0.0]])
    block = matrix.copy()
    block[:3, 3] = 0.0  # the first three do not depend on the last
    together = iterates([lambda x: block @ x + offset], weight, memory=3, steps=6)
    alone = iterates([lambda x: block[:3, :3] @ x + offset[:3]], weight[:, :3], memory=3, steps=6)
    np.testing.assert_allclose(together[:, :, :3], alone, rtol=0, atol=1e-5)


def test_samples_are_mixed_independently():
    maps = [linear_map(6, radius, seed) for seed, radius in enumerate((0.3, 0.9, 0.99))]
    mappings = [lambda x, m=matrix, c=offset: m @ x + c for matrix, offset in maps]
    weight = np.random.default_rng(1).uniform(0.1, 1.0, (3, 6))
    together = iterates(mappings, weight, memory=3, steps=12)
    for i, mapping in enumerate(mappings):
        alone = iterates([mapping], weight[[i]], memory=3, steps=12)[:, 0]
        np.testing.assert_allclose(together[:, i], alone, rtol=0, atol=1e-9)


def test_samples_that_stay_go_on_as_if_the_others_had_never_been():
    maps = [linear_map(6, radius, seed) for seed, radius in enumerate((0.3, 0.9, 0.99))]
    weight = np.random.default_rng(1).uniform(0.1, 1.0, (3, 6))
    mappings = [lambda x, m=matrix, c=offset: m @ x + c for matrix, offset in maps]
    mixing, x = AndersonMixing(torch.from_numpy(weight), 3, 1.0), torch.zeros(3, 6, dtype=torch.float64)
    for step in range(10):
        if step == 5:
            mixing.keep(torch.tensor([True, False, True]))
            x, mappings = x[[0, 2]], [mappings[0], mappings[2]]
        mixing.advance(x, residual(mappings, x))
    alone = iterates(mappings[1:], weight[[2]], memory=3, steps=10)[-1, 0]
    np.testing.assert_allclose(x[1], alone, rtol=0, atol=1e-9)


def test_relaxation_shortens_a_step():
    matrix, offset = linear_map(3, 0.5)
    taken = iterates([lambda x: matrix @ x + offset], np.ones((1, 3)), memory=2, steps=1, relaxation=0.6)
    np.testing.assert_allclose(taken[1, 0], 0.6 * offset)


def test_a_step_that_made_things_much_worse_is_not_extrapolated_from():
    # A turn that shrinks little far away and by ten near zero: extrapolated without restraint it runs in circles.
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])

    def mapping(x):
        return turn @ (x - 0.9 * np.tanh(2.4 * x) / 2.4)

    history = iterates([mapping], np.ones((1, 2)), memory=2, steps=40, start=[[4.0, 0.0]])[:, 0]
    assert np.abs(history[-1]).max() < 1e-9


def test_a_fixed_point_is_not_left():
    still = iterates([lambda x: x], np.ones((1, 4)), memory=2, steps=5)
    assert (still == 0).all()

"""The Fourier basis against sums of plane waves written out, and Parseval's theorem."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from edframe_krr.fourier import Basis

from edframe.grid import Grid

CELLS = {1: [[3.0]], 2: [[3.0, 0.0], [0.7, 2.5]], 3: [[3.0, 0.1, 0.0], [0.4, 2.5, 0.2], [0.0, -0.3, 3.5]]}


def random_fields(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6,), (7,), (6, 5), (4, 4), (6, 5, 4), (4, 6, 2), (3, 5, 1)])
def test_complete_basis_keeps_every_field_and_its_square(shape) -> None:
    basis = Basis.of(Grid.of(CELLS[len(shape)], shape), None)
    fields = random_fields(2, 3, *shape)
    coefficients = basis.coefficients(fields)
    assert coefficients.shape == (2, 3, basis.size) == (2, 3, int(np.prod(shape)))
    torch.testing.assert_close(basis.fields(coefficients, shape), fields, rtol=0, atol=1e-12)
    torch.testing.assert_close(coefficients.square().sum(-1), fields.square().flatten(2).mean(-1))


@pytest.mark.parametrize("cutoff", [1.0, 4.0, 6.5])
def test_cutoff_keeps_the_waves_within_a_sphere(cutoff) -> None:
    grid = Grid.of(CELLS[3], (8, 7, 9))
    reciprocal = 2 * np.pi * np.linalg.inv(grid.vectors).T
    within = {
        m
        for m in itertools.product(range(-4, 4), range(-3, 4), range(-4, 5))
        if np.linalg.norm(np.array(m) @ reciprocal) <= cutoff
    }
    kept = [tuple(row) for row in Basis.of(grid, cutoff).vectors.tolist()]
    opposite = {tuple(-x for x in m) for m in kept}
    assert len(set(kept)) == len(kept)
    assert set(kept) <= within <= set(kept) | opposite
    lengths = [np.linalg.norm(np.array(m) @ reciprocal) for m in kept]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("shape", [(8, 7, 9), (16, 10, 12), (5, 4, 4)], ids=["same", "finer", "coarser"])
def test_values_on_any_grid_are_those_of_the_waves(shape) -> None:
    cell = CELLS[3]
    basis = Basis.of(Grid.of(cell, (8, 7, 9)), 5.0)
    coefficients = random_fields(basis.size)
    count = len(basis.alone)
    expected = np.zeros(shape)
    phases = 2 * np.pi * np.einsum("xyzd,kd->kxyz", Grid.of(cell, shape).fractions(), basis.vectors.numpy())
    sines = iter(coefficients[count:].tolist())
    for phase, alone, cosine in zip(phases, basis.alone.tolist(), coefficients[:count].tolist(), strict=True):
        expected += cosine * np.cos(phase) * (1 if alone else np.sqrt(2))
        expected -= 0 if alone else next(sines) * np.sqrt(2) * np.sin(phase)
    np.testing.assert_allclose(basis.fields(coefficients, shape), expected, atol=1e-12)


def test_coefficients_of_a_field_do_not_depend_on_the_grid_it_is_sampled_on() -> None:
    cell = CELLS[3]
    basis = Basis.of(Grid.of(cell, (8, 7, 9)), 5.0)
    wanted = random_fields(basis.size)
    finer = basis.fields(wanted, (12, 15, 10))
    torch.testing.assert_close(basis.coefficients(finer), wanted, rtol=0, atol=1e-12)

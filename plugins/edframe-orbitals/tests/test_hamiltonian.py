"""Overlaps against PySCF, levels against closed forms, derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edframe_orbitals.elements import norms, start
from edframe_orbitals.filling import density_matrix, occupations
from edframe_orbitals.hamiltonian import Hamiltonian
from edframe_orbitals.overlap import overlaps
from pyscf import gto

from edframe.errors import DataError
from edframe.io.units import HARTREE

POSITIONS = torch.tensor([[0.0, 0.0, 0.0], [1.2, -0.7, 1.9], [-2.1, 0.4, 0.8]], dtype=torch.float64)


@pytest.mark.parametrize("numbers", [(6, 8, 1), (16, 7, 9)])
def test_overlaps_are_those_of_pyscf(numbers) -> None:
    starts = [start(number) for number in numbers]
    exponents = torch.stack([one for one, _ in starts])
    bare = torch.stack([one for _, one in starts])
    coefficients = torch.stack([bare[:, ell] * norms(exponents[:, ell], ell) for ell in (0, 1)], 1)
    basis = {
        f"X{k}": [[ell, *zip(exponents[k, ell].tolist(), bare[k, ell].tolist(), strict=True)] for ell in (0, 1)]
        for k in range(3)
    }
    atoms = [(f"X-{k}", place.tolist()) for k, place in enumerate(POSITIONS)]
    molecule = gto.M(
        atom=[(f"H{k}", place) for k, (_, place) in enumerate(atoms)], unit="bohr", spin=None, verbose=0,
        basis={f"H{k}": rows for k, rows in enumerate(basis.values())},
    )  # fmt: skip
    ours = overlaps(exponents, coefficients, POSITIONS).numpy()
    scale = 1 / np.sqrt(np.diag(ours))
    np.testing.assert_allclose(ours * scale * scale[:, None], molecule.intor("int1e_ovlp"), atol=1e-10)


def test_orbitals_integrate_to_one() -> None:
    hamiltonian = Hamiltonian(("H", "C", "O"))
    exponents, coefficients = hamiltonian.shells()
    diagonal = overlaps(exponents, coefficients, POSITIONS).diagonal()
    torch.testing.assert_close(diagonal, torch.ones_like(diagonal))


def test_levels_of_hydrogen_are_those_of_two_orbitals() -> None:
    """(h ± K S h)/(1 ± S), without charges."""
    hamiltonian = Hamiltonian(("H",))
    hamiltonian.valence[:] = 1
    found, density = hamiltonian(torch.tensor([0, 0]), POSITIONS[:2] / 2, 2.0)
    s, h = float(found.overlap[0, 1]), -13.6 / HARTREE
    expected = [(h + 1.75 * s * h) / (1 + s), (h - 1.75 * s * h) / (1 - s)]
    np.testing.assert_allclose(found.levels.numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(density.detach().numpy(), np.full((2, 2), 1 / (1 + s)), rtol=1e-9)
    np.testing.assert_allclose(found.charges.detach().numpy(), 0, atol=1e-12)


def test_electrons_are_kept_and_oxygen_has_more_of_them() -> None:
    hamiltonian = Hamiltonian(("H", "C", "O"))
    hamiltonian.valence[:] = torch.tensor([1.0, 4.0, 6.0])
    places = torch.tensor([[0, 0, 0], [2.2, 0, 0], [-1.1, 1.7, 0], [-1.1, -1.7, 0]], dtype=torch.float64)
    found, density = hamiltonian(torch.tensor([1, 2, 0, 0]), places, 12.0)  # CH2O
    assert float((density * found.overlap).sum()) == pytest.approx(12, abs=1e-9)
    assert float(found.charges.sum()) == pytest.approx(0, abs=1e-9)
    assert float(found.charges[1]) < -0.1


@pytest.mark.parametrize(
    ("levels", "electrons", "filled"),
    [
        ([-3, -2, -1], 2, [2, 0, 0]),
        ([-3, -2, -1], 3, [2, 1, 0]),
        ([-3, -2, -2], 4, [2, 1, 1]),
        ([-3, -2, -2], 6, [2, 2, 2]),
        ([-2, -2, -1], 2, [1, 1, 0]),
    ],
)
def test_levels_are_filled_from_below_and_alike_where_they_are_degenerate(levels, electrons, filled) -> None:
    assert occupations(torch.tensor(levels, dtype=torch.float64), electrons).tolist() == filled


def test_the_derivative_of_a_density_matrix_is_that_of_differences() -> None:
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = (matrix + matrix.T).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: density_matrix((h + h.T) / 2, 6.0), (matrix,))


def test_the_derivative_is_finite_where_filled_levels_are_degenerate() -> None:
    matrix = torch.diag(torch.tensor([-2.0, -1.0, -1.0, 1.0, 1.0], dtype=torch.float64)).requires_grad_()
    weights = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (density_matrix(matrix, 6.0) * weights).sum().backward()
    assert matrix.grad.isfinite().all()


def test_an_element_with_d_electrons_is_refused() -> None:
    with pytest.raises(DataError, match="has orbitals of H to Ar, and none of Fe"):
        Hamiltonian(("O", "Fe"))

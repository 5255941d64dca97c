"""Packing of density matrices."""

import numpy as np
import pytest
from edframe_pyscf.matrices import pack, unpack


@pytest.mark.parametrize("orbitals", [1, 2, 41])
def test_unpacking_gives_back_the_symmetric_matrix(orbitals):
    values = np.random.default_rng(0).normal(size=(orbitals, orbitals))
    matrix = values + values.T
    packed = pack(matrix)
    assert (packed.dtype, packed.shape) == (np.float32, (orbitals * (orbitals + 1) // 2,))
    np.testing.assert_array_equal(unpack(packed), matrix.astype(np.float32))

"""The text behind the grids of a CHGCAR, against VASP's rules, which are read by columns here, and closed forms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core.structure import Structure

import edframe.io
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import Volume, paw

CELL = [[8.0, 0.0, 0.0], [1.0, 7.0, 0.0], [0.0, -0.5, 6.0]]
SHAPE = (20, 18, 16)


def twelve(augmented: bool = True) -> Volume:
    """A spin-polarised density of 12 atoms; each has occupancies whose header stands as pymatgen writes it."""
    rng = np.random.default_rng(0)
    structure = Structure(CELL, ["Fe"] * 4 + ["O"] * 8, rng.random((12, 3)))
    fields = {"total": rng.random(SHAPE) + 1, "magnetisation": rng.standard_normal(SHAPE)}
    text = "".join(
        f"augmentation occupancies   {atom} {8:3d}\n  0.1000000E+01{'  0.2000000E+00' * 4}\n{'  0.3000000E+00' * 3}\n"
        for atom in range(1, 13)
    )
    behind = {"total": text, "magnetisation": text} if augmented else {}
    return Volume(structure, Grid.of(CELL, SHAPE), fields, augmentation=behind)


def as_vasp_reads(path: Path) -> tuple[list[np.ndarray], list[dict[int, np.ndarray]], list[np.ndarray]]:
    """Grids ``[x, y, z]`` (density × volume), occupancies and moments, by Fortran's rules for each line.

    The headers are read as ``(24X, 2I4)``, all else as a list: a READ takes whole lines until it has its numbers.
    """
    lines = iter(path.read_text().splitlines())

    def listed(count: int) -> np.ndarray:
        words: list[str] = []
        while len(words) < count:
            words += next(lines).split()
        assert len(words) == count
        return np.array(words, float)

    head = [next(lines) for _ in range(7)]
    atoms = sum(map(int, head[6].split()))
    assert next(lines)[0] == "D"
    for _ in range(atoms):
        assert len(next(lines).split()) == 3
    assert not next(lines).strip()
    grids, occupancies, moments = [], [], []
    for spin in range(2):
        shape = [int(word) for word in next(lines).split()]
        grids.append(listed(int(np.prod(shape))).reshape(shape, order="F"))
        by_atom = {}
        for atom in range(1, atoms + 1):
            header = next(lines)
            assert header[:24] == "augmentation occupancies"
            assert (int(header[24:28]), header[32:]) == (atom, "")
            by_atom[atom] = listed(int(header[28:32]))
        occupancies.append(by_atom)
        if spin == 0:
            moments.append(listed(atoms))
    assert list(lines) == []
    return grids, occupancies, moments


def test_vasp_reads_the_spin_of_twelve_atoms(tmp_path):
    volume = twelve()
    edframe.io.write(tmp_path / "CHGCAR", volume)
    grids, occupancies, moments = as_vasp_reads(tmp_path / "CHGCAR")
    for values, name in zip(grids, volume.fields, strict=True):
        np.testing.assert_allclose(values / volume.grid.volume, volume.fields[name], rtol=1e-10)
    for by_atom in occupancies:
        assert list(by_atom) == list(range(1, 13))
        assert all(values.tolist() == [1.0] + [0.2] * 4 + [0.3] * 3 for values in by_atom.values())
    np.testing.assert_allclose(moments[0], paw.moments(volume, "magnetisation"), rtol=1e-11, atol=1e-99)


@pytest.mark.parametrize(("atoms", "lines"), [(1, [1]), (5, [5]), (6, [5, 1]), (12, [5, 5, 2])])
def test_moments_stand_five_on_a_line_in_fields_of_twenty(atoms, lines):
    numbers = np.random.default_rng(atoms).standard_normal(atoms) * 10.0 ** np.arange(atoms)
    text = paw.block(numbers)
    assert [len(line) for line in text.splitlines()] == [20 * count for count in lines]
    fields = [line[k : k + 20] for line in text.splitlines() for k in range(0, len(line), 20)]
    assert all(re.fullmatch(r" {1,2}-?0\.\d{12}E[+-]\d\d", field) for field in fields)
    np.testing.assert_allclose([float(field) for field in fields], numbers, rtol=1e-11)


def test_moments_that_a_file_has_are_kept():
    text = twelve().augmentation["total"]
    assert not paw.has_moments(text, 12)
    assert paw.has_moments(text + paw.block(np.ones(12)), 12)


@pytest.mark.parametrize("at", [[0.0, 0.0, 0.0], [0.97, 0.53, -0.21]])
def test_a_moment_is_the_magnetisation_around_its_atom(at):
    """A Gaussian of width 0.25 Å and 1.7 electrons holds 99.9% of them within 1 Å, also across the cell's edge."""
    grid = Grid.of(CELL, (64, 56, 48))
    delta = grid.fractions() - np.array(at)
    distance = np.linalg.norm((delta - np.rint(delta)) @ grid.vectors, axis=-1)
    values = 1.7 * (2 * np.pi * 0.25**2) ** -1.5 * np.exp(-(distance**2) / (2 * 0.25**2))
    volume = Volume(Structure(CELL, ["Fe", "O"], [at, np.add(at, 0.5)]), grid, {"magnetisation": values})
    np.testing.assert_allclose(paw.moments(volume, "magnetisation"), [1.7, 0.0], atol=5e-3)


def test_absurd_moments_are_refused_and_nothing_is_written(tmp_path):
    volume = twelve(augmented=False)
    volume.fields["magnetisation"][:] = 1e100
    with pytest.raises(DataError, match=r"'magnetisation' has a moment of .* electrons next to an atom: too large"):
        edframe.io.write(tmp_path / "CHGCAR", volume)
    assert list(tmp_path.iterdir()) == []


def test_headers_beyond_the_width_of_their_fields_are_vasps_stars():
    text = "augmentation occupancies 12345 33\naugmentation occupancies (imaginary part)   7   8\n"
    columns = "augmentation occupancies****  33\naugmentation occupancies (imaginary part)   7   8\n"
    assert paw.in_columns(text) == columns

"""From the fields of a file to a label and back, with densities whose integrals are known."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.conversion import as_label, sample_of, volume_of
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io import Volume

CELL = ((3.0, 0.0, 0.0), (0.5, 2.5, 0.0), (0.0, 0.3, 4.0))
GRID = Grid.of(CELL, (6, 5, 8))


def volume(electrons=8.0, ripple=0.0, atoms=("Si", "Si"), **fields):
    """A density ``electrons / volume`` with a ripple that integrates to nothing, and further fields."""
    x = np.arange(6) / 6
    total = electrons / GRID.volume * (1 + ripple * np.cos(2 * np.pi * x))[:, None, None] * np.ones(GRID.shape)
    return Volume(Structure(Lattice(CELL), atoms, [[0, 0, 0]] * len(atoms)), GRID, {"total": total, **fields})


@pytest.mark.parametrize(
    ("integral", "count", "atoms"),
    [
        (8.0, 8.0, ("Si",) * 2),
        (8.01, 8.0, ("Si",) * 2),
        (7.99, 8.0, ("Si",) * 2),
        (8.3, 8.3, ("Si",) * 2),
        (13.6, 13.6, ("Si",) * 2),
        (395.04, 395.0, ("Fe",) * 18),
        (395.336, 395.336, ("Fe",) * 18),
    ],
)
def test_electrons_are_the_integral_rounded_where_it_is_near_an_integer(integral, count, atoms):
    sample = sample_of(volume(integral, atoms=atoms), "si")
    assert sample.electrons == pytest.approx(count, rel=1e-12)
    assert sample.source["integral"] == pytest.approx(integral, rel=1e-12)


def test_given_electrons_must_agree_with_the_integral():
    assert sample_of(volume(8.05), "si", electrons=8.0).electrons == 8.0
    with pytest.raises(DataError, match=r"integrates to 8\.5000 e, not to 8 e"):
        sample_of(volume(8.5), "si", electrons=8.0)


def test_a_sample_keeps_what_its_file_had_and_gives_it_back():
    spin = np.random.default_rng(0).normal(size=GRID.shape)
    before = volume(magnetisation=spin)
    before = Volume(before.structure, GRID, before.fields, comment="made up", origin=(0.1, 0.0, -2.0),
                    augmentation={"total": "augmentation occupancies   1   4\n 1 2 3 4\n"})  # fmt: skip
    sample = sample_of(before, "si", electrons_from="POTCAR")
    assert sample.density.dtype == np.float64
    assert sample.source["electrons_from"] == "POTCAR"
    after = volume_of(sample)
    assert (after.comment, after.origin, dict(after.augmentation)) == ("made up", before.origin, before.augmentation)
    assert list(after.fields) == ["total", "magnetisation"]
    for name, values in before.fields.items():
        np.testing.assert_array_equal(after.fields[name], values)


def test_a_label_is_positive_and_holds_its_electrons():
    total = volume(8.02).fields["total"].copy()
    total[0, 0, 0] = -1e-4
    spin = np.full(GRID.shape, -0.01)
    raw = sample_of(Volume(volume().structure, GRID, {"total": total, "magnetisation": spin}), "si")
    label = as_label(raw)
    assert label.density.dtype == np.float32
    assert label.density[0].min() == 0
    assert label.density[0].sum(dtype=float) * GRID.voxel_volume == pytest.approx(8, rel=1e-6)
    # Both channels by one factor, so that the magnetisation keeps its proportion.
    np.testing.assert_allclose(label.density[1] / label.density[0][1, 1, 1], spin / total[1, 1, 1], rtol=1e-6)


def test_what_is_no_density_is_refused_by_name():
    good = volume()
    cases = {
        "si: it holds total (potential), not an electron density": Volume(
            good.structure, GRID, good.fields, quantity="potential"
        ),
        "si: it holds orbital 3 (field)": Volume(good.structure, GRID, {"orbital 3": good.fields["total"]}, "field"),
        "si: a noncollinear density has three components": volume(
            magnetisation_x=good.fields["total"], magnetisation_y=good.fields["total"]
        ),
        "si: the total density is negative beyond noise": volume(ripple=1.5),
        "si: the total density integrates to 0 e": volume(electrons=0.0),
    }
    for sentence, wrong in cases.items():
        with pytest.raises(DataError) as caught:
            sample_of(wrong, "si")
        assert str(caught.value).startswith(sentence)


def test_the_sentence_on_negative_values_says_how_much_and_where():
    # 8/V (1 + 1.5 cos 2πx) is negative at x = 1/2 only: 1 - 1.5 = -0.5, one of six planes of 8/6 e each.
    with pytest.raises(DataError, match=r"-0.667 e in all and -0.133 e/Å³ at grid point \(3, 0, 0\)"):
        sample_of(volume(ripple=1.5), "si")


def test_noise_below_a_hundredth_of_the_electrons_passes():
    total = volume().fields["total"].copy()
    total[0, 0, 0] = -0.9e-2 * 8 / GRID.voxel_volume
    total[1] += (8 - total.sum() * GRID.voxel_volume) / GRID.voxel_volume / total[1].size
    assert sample_of(Volume(volume().structure, GRID, {"total": total}), "si").electrons == 8

"""What ``edframe data info`` says of samples whose grids, atoms and electrons are known."""

from __future__ import annotations

import numpy as np
from pymatgen.core.structure import Structure

from edframe.data.overview import MOST, facts_of, overview
from edframe.grid import Grid
from edframe.interfaces import Contents, Dataset
from edframe.sample import Sample


class Given(Dataset):
    """Samples of these species, lengths of a cubic cell (Å), points per axis, and electrons."""

    ids: tuple[str, ...] = ()
    contents = Contents(("H",), 1)

    def __init__(self, *samples):
        self.samples = samples
        self.ids = tuple(str(index) for index in range(len(samples)))

    def __getitem__(self, index):
        species, length, points, electrons = self.samples[index]
        grid = Grid.of(3 * [length], points)
        atoms = Structure(length * np.eye(3), species, np.linspace(0, 0.9, 3 * len(species)).reshape(-1, 3))
        density = np.full((1, *grid.shape), electrons / length**3, dtype=np.float32)
        return Sample(self.ids[index], atoms, grid, density, electrons)

    def fingerprint(self):
        return "made up"


def test_every_kind_is_counted():
    water, ion = ["O", "H", "H"], ["O", "H"]
    dataset = Given((water, 4.0, 8, 8.0), (water, 4.0, 8, 8.0), (ion, 4.0, 10, 8.0), (ion, 5.0, 10, 7.0))
    assert overview(facts_of(dataset)) == {
        "grids (samples)": "8×8×8 (2), 10×10×10 (2)",
        "spacing": "0.400 to 0.500 Å",
        "atoms per structure": "2 to 3",
        "electrons by formula": "H2 O1: 8, H1 O1: 8 or 7",
    }


def test_what_is_the_same_everywhere_is_said_once():
    facts = overview(facts_of(Given((["He"], 3.0, 6, 2.0))))
    assert (facts["spacing"], facts["atoms per structure"]) == ("0.500 Å", "1")


def test_long_lists_end_with_a_count():
    text = overview(facts_of(Given(*((["H"] * n, 4.0, 4, float(n)) for n in range(1, MOST + 4)))))
    assert text["electrons by formula"].endswith(f"H{MOST}: {MOST}, and 3 others")

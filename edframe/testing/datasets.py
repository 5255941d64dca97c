"""Checks of datasets: of all samples when there are few, of an even choice of them otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edframe.errors import DataError
from edframe.interfaces import Dataset
from edframe.sample import Sample
from edframe.testing.subject import Subject

MANY = 64
"""Of a dataset longer than this, that many samples are read."""


def ids_are_unique_strings(subject: Subject) -> None:
    """Each sample has its own name."""
    ids = list(_dataset(subject).ids)
    assert all(isinstance(name, str) and name for name in ids), (
        "the ids of a dataset must be strings that are not empty"
    )
    assert len(set(ids)) == len(ids), "the ids of a dataset must be unique"


def length_counts_the_ids(subject: Subject) -> None:
    """There is at least one sample, and as many as ids."""
    dataset = _dataset(subject)
    assert 0 < len(dataset) == len(dataset.ids), f"a dataset of {len(dataset.ids)} ids has length {len(dataset)}"


def index_past_the_end_raises(subject: Subject) -> None:
    """IndexError past the end, so that a dataset can be iterated over."""
    dataset = _dataset(subject)
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    raise AssertionError("a dataset must raise IndexError past its end")


def samples_are_valid(subject: Subject) -> None:
    """Every item is a Sample, which checks its own shapes."""
    try:
        for sample in _samples(_dataset(subject)):
            assert isinstance(sample, Sample), f"a dataset must deliver Samples, not {type(sample).__name__}"
    except DataError as error:
        raise AssertionError(f"a dataset must deliver valid samples: {error}") from error


def samples_carry_their_ids(subject: Subject) -> None:
    """The sample at an index has the id at that index."""
    dataset = _dataset(subject)
    for index in _indices(dataset):
        given, wanted = dataset[index].id, dataset.ids[index]
        assert given == wanted, f"the sample at {index} must have the id '{wanted}', not '{given}'"


def densities_are_single_precision(subject: Subject) -> None:
    """Densities are float32."""
    for sample in _samples(_dataset(subject)):
        kind = sample.density.dtype
        assert kind == np.float32, f"{sample.id}: the density must be float32, not {kind}"


def densities_hold_their_electrons(subject: Subject) -> None:
    """The integral of the density is the number of electrons, to 1e-4."""
    for sample in _samples(_dataset(subject)):
        total = float(sample.density[0].sum(dtype=np.float64)) * sample.grid.voxel_volume
        assert abs(total - sample.electrons) <= 1e-4 * sample.electrons, (
            f"{sample.id}: the density must integrate to its {sample.electrons:g} electrons: normalise it; "
            f"it integrates to {total:.5f}"
        )


def cells_agree(subject: Subject) -> None:
    """A three-dimensional grid spans the cell of its structure."""
    for sample in _samples(_dataset(subject)):
        if sample.grid.dimension == 3:
            same = np.allclose(sample.structure.lattice.matrix, sample.grid.vectors, atol=1e-4)
            assert same, f"{sample.id}: the cell of the grid must be the lattice of the structure"


def buckets_have_one_grid(subject: Subject) -> None:
    """Samples with one label in ``buckets`` have the same grid, and each sample has a label."""
    dataset = _dataset(subject)
    labels = list(dataset.buckets)
    firsts: dict[int, Sample] = {}
    assert len(labels) == len(dataset), f"{len(dataset)} samples have {len(labels)} labels in buckets; each needs one"
    for index in _indices(dataset):
        sample = dataset[index]
        first = firsts.setdefault(labels[index], sample)
        assert sample.grid == first.grid, (
            f"{first.id} and {sample.id} share a label in buckets, so they must share a grid; give each grid its own"
        )


def holdouts_are_samples(subject: Subject) -> None:
    """Each held-out test set has a name, at least one sample, and each of its samples once."""
    dataset = _dataset(subject)
    for name, indices in dataset.holdouts.items():
        named = isinstance(name, str) and name != ""
        assert named, "the names in holdouts must be strings that are not empty"
        once = 0 < len(indices) == len(set(indices))
        there = set(indices) <= set(range(len(dataset)))
        assert once & there, (
            f"the held-out test set '{name}' must list samples by their indices, 0 to {len(dataset) - 1}, each once; "
            "leave an empty one out"
        )


def contents_agree_with_samples(subject: Subject) -> None:
    """``contents`` gives the species, the largest number of atoms, the spin channels and the dimension."""
    dataset = _dataset(subject)
    contents, samples = dataset.contents, list(_samples(dataset))
    species = {site.specie.symbol for sample in samples for site in sample.structure}
    atoms = max(len(sample.structure) for sample in samples)
    complete = len(samples) == len(dataset)
    assert set(contents.species) == species if complete else set(contents.species) >= species, (
        f"contents.species must be those of the samples, {sorted(species)}, not {contents.species}"
    )
    assert contents.max_atoms == atoms if complete else contents.max_atoms >= atoms, (
        f"contents.max_atoms must be that of the largest structure, {atoms}, not {contents.max_atoms}"
    )
    for sample in samples:
        assert (len(sample.density), sample.grid.dimension) == (contents.spins, contents.dimension), (
            f"{sample.id}: contents give spins {contents.spins} and dimension {contents.dimension}; "
            f"the sample has {len(sample.density)} and {sample.grid.dimension}"
        )


def species_are_in_order(subject: Subject) -> None:
    """``contents.species`` are in order of atomic number: channels keep their meaning between datasets."""
    from pymatgen.core.periodic_table import Element

    species = list(_dataset(subject).contents.species)
    ordered = sorted(species, key=lambda symbol: Element(symbol).Z)
    assert species == ordered, f"contents.species must be in order of atomic number, {ordered}, not {species}"


def reading_twice_gives_the_same(subject: Subject) -> None:
    """A sample read again is the same."""
    dataset = _dataset(subject)
    first, second = dataset[0], dataset[0]
    same = np.array_equal(first.density, second.density) and first.structure == second.structure
    assert same, "a dataset must deliver the same sample when it is read again"


def fingerprint_is_stable(subject: Subject) -> None:
    """Two constructions from one config have the same fingerprint."""
    first, second = (_dataset(subject).fingerprint() for _ in range(2))
    assert isinstance(first, str), f"the fingerprint of a dataset must be a string, not {type(first).__name__}"
    assert first == second, "the fingerprint must depend on the data only, not on time, memory or the process"


def _dataset(subject: Subject) -> Dataset:
    dataset: Dataset = subject.make()
    if not dataset.ready:
        dataset.build(lambda done, total: None)
    return dataset


def _indices(dataset: Dataset) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, len(dataset) - 1, min(len(dataset), MANY))})


def _samples(dataset: Dataset) -> Iterator[Sample]:
    return (dataset[index] for index in _indices(dataset))


CHECKS = (
    ids_are_unique_strings,
    length_counts_the_ids,
    index_past_the_end_raises,
    samples_are_valid,
    samples_carry_their_ids,
    densities_are_single_precision,
    densities_hold_their_electrons,
    cells_agree,
    buckets_have_one_grid,
    holdouts_are_samples,
    contents_agree_with_samples,
    species_are_in_order,
    reading_twice_gives_the_same,
    fingerprint_is_stable,
)

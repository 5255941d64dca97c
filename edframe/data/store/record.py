"""What is not density in a sample, as JSON, and hashes of what a sample holds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample


def record_of(sample: Sample) -> tuple[str, str]:
    """All of a sample but its density, and its ``content_hash``. Raises DataError when ``source`` is not plain data."""
    facts = _content(sample)
    record = {"id": sample.id, **facts, "source": plain(sample.source, f"{sample.id}: its source")}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False), _hash(facts, sample.density)


def sample_from_record(record: str, density: NDArray[np.float32]) -> Sample:
    """The sample of a record; ``density`` holds ``[s, x, y, z]`` flattened, and perhaps more after it."""
    facts = json.loads(record)
    grid = Grid.of(**facts["grid"])
    spins: int = facts["spins"]
    return Sample(
        id=facts["id"],
        structure=_structure(facts["structure"]),
        grid=grid,
        density=density[: spins * grid.points].reshape(spins, *grid.shape),
        electrons=facts["electrons"],
        source=facts["source"],
    )


def content_hash(sample: Sample) -> str:
    """A hash of structure, grid, electrons and density (as float32): neither of the id nor of where it came from."""
    return _hash(_content(sample), sample.density)


def hash_of_record(record: str, density: NDArray[np.float32]) -> str:
    """The ``content_hash`` of a sample as it is stored; ``density`` as for ``sample_from_record``."""
    facts = json.loads(record)
    content = {key: value for key, value in facts.items() if key not in ("id", "source")}
    return _hash(content, density[: facts["spins"] * math.prod(facts["grid"]["shape"])])


def fingerprint_of(ids: Sequence[str], hashes: Iterable[str]) -> str:
    """A hash of a dataset from its ids, in order, and the ``content_hash`` of each sample."""
    return hashlib.sha256(json.dumps([list(ids), list(hashes)]).encode()).hexdigest()


def grid_hash(grid: Grid) -> int:
    """A number that equal grids share, and different ones not, but for a chance of 1e-19 for each pair."""
    facts = _sorted({**grid.to_dict(), "cell": (grid.vectors + 0.0).tolist()})  # −0.0 equals 0.0
    return int.from_bytes(hashlib.blake2b(facts, digest_size=8).digest(), "little", signed=True)


def species_of(structure: Structure) -> set[str]:
    """Symbols of the elements in a structure."""
    return {element.symbol for element in structure.composition.elements}


def in_order(species: Iterable[str]) -> tuple[str, ...]:
    """Symbols by atomic number."""
    return tuple(sorted(set(species), key=lambda symbol: (Element(symbol).Z, symbol)))


def _content(sample: Sample) -> dict[str, Any]:
    return {
        "structure": _structure_facts(sample),
        "grid": sample.grid.to_dict(),
        "electrons": float(sample.electrons),
        "spins": len(sample.density),
    }


def _structure_facts(sample: Sample) -> dict[str, Any]:
    """Columns of plain data. pymatgen's own dictionary is three times as long, and reading it runs whatever class it
    names."""
    structure = sample.structure
    if not structure.is_ordered:
        raise DataError(f"{sample.id}: it has sites of partial occupancy; a sample has one atom on each site")
    return {
        "lattice": structure.lattice.matrix.tolist(),
        "pbc": list(structure.lattice.pbc),
        "species": [str(site.specie) for site in structure],
        "fractions": structure.frac_coords.tolist(),
        "charge": structure._charge,  # what was set, or None. No public name: the property gives 0 for None, and warns
        "labels": structure.labels,
        "site_properties": plain(structure.site_properties, f"{sample.id}: what is said of its sites"),
        "properties": plain(structure.properties, f"{sample.id}: what is said of its structure"),
    }


def _structure(facts: Mapping[str, Any]) -> Structure:
    return Structure(
        Lattice(facts["lattice"], tuple(facts["pbc"])),
        facts["species"],
        facts["fractions"],
        charge=facts["charge"],
        labels=facts["labels"],
        site_properties=facts["site_properties"],
        properties=facts["properties"],
    )


def plain(data: Mapping[str, Any], what: str) -> Any:
    """``data`` as JSON gives it back, arrays as lists. Raises DataError when it is not plain data."""
    try:
        return json.loads(json.dumps(dict(data), default=_as_list))
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not plain data ({error}): give text, numbers, lists and mappings") from error


def _as_list(array: Any) -> Any:
    if isinstance(array, np.ndarray | np.generic):
        return array.tolist()
    raise TypeError(f"Object of type {type(array).__name__} is not JSON serializable")


def _hash(content: Mapping[str, Any], density: NDArray[Any]) -> str:
    digest = hashlib.blake2b(_sorted(content), digest_size=16)
    digest.update(np.ascontiguousarray(density, "<f4").data)
    return digest.hexdigest()


def _sorted(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()

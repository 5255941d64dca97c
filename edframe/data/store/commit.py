"""What counts in a store: one small record, replaced in one step by each commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from google_crc32c import value as crc32c

from edframe.data.store.layout import density_array
from edframe.data.store.place import Place
from edframe.errors import DataError

FORMAT = 1
"""Version of the layout, in the commit record."""

REMEDY = "restore the file from a copy, or make the store again"
"""What is said to do about damage, where nothing better is known."""


@dataclass(frozen=True)
class Commit:
    """What counts in a store, saved in the attributes of the group. rows: samples in each density array, by capacity.

    spins and dimension are 0 while there is no sample.
    """

    samples: int = 0
    spins: int = 0
    dimension: int = 0
    species: tuple[str, ...] = ()
    max_atoms: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shards(self) -> dict[str, int]:
        """Samples in each array that has shards, by its name."""
        density = {density_array(int(capacity)): count for capacity, count in self.rows.items()}
        return {"record": self.samples, **density}

    def encode(self) -> bytes:
        """The group's ``zarr.json``."""
        facts = {"format": FORMAT, **asdict(self)}
        attributes = {"edframe": {**facts, "checksum": _checksum(facts)}}
        document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        return json.dumps(document, indent=1).encode()


def read_commit(place: Place, url: str, remedy: str = REMEDY) -> Commit | None:
    """What the store at ``place`` holds; None where there is nothing. Raises DataError for anything but a store."""
    try:
        data = place.get("zarr.json")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{url} cannot be read ({error.strerror or error}); {remedy}") from error
    try:
        document = json.loads(data)
        facts = dict(document["attributes"]["edframe"])
        version, checksum = facts["format"], facts.pop("checksum")
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{url} is not a store of samples, as `edframe data build --out` writes it, or its zarr.json "
                        f"is damaged; {remedy}") from error  # fmt: skip
    if checksum != _checksum(facts) or (document.get("zarr_format"), document.get("node_type")) != (3, "group"):
        raise DataError(f"{url}: its zarr.json is damaged; {remedy}")
    if version != FORMAT:
        raise DataError(f"{url} is a store of format {version}; this edframe reads format {FORMAT}: "
                        f"{'upgrade edframe' if version > FORMAT else remedy}")  # fmt: skip
    del facts["format"]
    return replace(Commit(**facts), species=tuple(facts["species"]))


def _checksum(facts: Mapping[str, Any]) -> int:
    return int(crc32c(json.dumps(facts, sort_keys=True).encode()))

"""Groups of samples by where their files are: folders, and blocks of consecutive frames of a trajectory."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence


def blocks(places: Sequence[str], together: int | str | None) -> list[int | None]:
    """A group per sample, by where it is: of those of one place, or of ``together`` of one place after the other.

    places: ``folder/name`` of each sample; numbers in names count as numbers. None: no groups.
    """
    if together is None:
        return [None] * len(places)
    folders = [place.rpartition("/")[0] for place in places]
    order = sorted(range(len(places)), key=lambda k: (folders[k], natural(places[k])))
    seen: defaultdict[str, int] = defaultdict(int)
    labels: list[Hashable] = [None] * len(places)
    for k in order:
        labels[k] = (folders[k], seen[folders[k]] // together if isinstance(together, int) else 0)
        seen[folders[k]] += 1
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``run-2`` before ``run-10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]

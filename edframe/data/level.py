"""The level of a density: the functional and the pseudopotentials that it was computed with.

A valence density belongs to both. One of another pseudopotential has another shape inside the cores, which is more
error than free atoms have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edframe.sample import Sample

SAMPLES = 100
"""Samples that are asked at most."""

MARK = "edframe-level"
"""In the title of a density file, before the level as JSON."""


@dataclass(frozen=True)
class Level:
    """functional: in small letters, such as ``pbe``; None: not known. pseudopotentials: element → file or family;
    ``*`` for all elements; empty: not known."""

    functional: str | None = None
    pseudopotentials: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Level:
        """What the samples state in ``source``, by ``functional`` and ``pseudopotential`` (one name, or element →
        name). Where two disagree, or one is silent, it is not known. At most ``SAMPLES`` are asked, drawn evenly."""
        functionals: set[str | None] = set()
        names: dict[str, set[str]] = {}
        silent = False
        step = -(-len(samples) // SAMPLES) or 1
        for sample in (samples[place] for place in range(0, len(samples), step)):
            stated = cls.of_source(sample.source)
            functionals.add(stated.functional)
            silent |= not stated.pseudopotentials
            for symbol, name in stated.pseudopotentials.items():
                names.setdefault(symbol, set()).add(name)
        functional = functionals.pop() if len(functionals) == 1 else None
        agreed = not silent and all(len(those) == 1 for those in names.values())
        return cls(functional, {symbol: next(iter(those)) for symbol, those in names.items()} if agreed else {})

    @classmethod
    def load(cls, facts: Mapping[str, Any]) -> Level:
        """What ``vars`` of one gave, from JSON."""
        return cls(facts["functional"], facts["pseudopotentials"])

    @classmethod
    def of_header(cls, header: Mapping[str, str]) -> Level:
        """That of a checkpoint; not known where its header has none. Raises ValueError for a damaged one."""
        from edframe.runs.tensors import numbers

        return cls.load(numbers(header["level"])) if "level" in header else cls()

    @classmethod
    def of_source(cls, source: Mapping[str, Any]) -> Level:
        """What the ``source`` of one sample states."""
        functional, given = source.get("functional"), source.get("pseudopotential")
        names = given if isinstance(given, Mapping) else {"*": given} if given else {}
        return cls(functional.lower() if isinstance(functional, str) else None,
                   {symbol: str(name) for symbol, name in names.items()})  # fmt: skip

    @classmethod
    def of_title(cls, title: str) -> Level:
        """That in the title of a density file, as ``in_title`` leaves it; not known where there is none."""
        match = re.search(MARK + r" (\{.*?\}\})", " ".join(title.split()))
        try:
            facts = json.loads(match[1]) if match else {}
            return cls(facts.get("functional"), dict(facts.get("pseudopotentials", {})))
        except (ValueError, TypeError):
            return cls()

    @property
    def source(self) -> dict[str, Any]:
        """As the ``source`` of a sample states it; empty where nothing is known."""
        facts = {"functional": self.functional, "pseudopotential": dict(self.pseudopotentials)}
        return {key: value for key, value in facts.items() if value}

    def in_title(self, title: str) -> str:
        """A title with the level behind it, for files that have no other place for it; unchanged where it has one
        already, and where nothing is known."""
        if MARK in title or not self.source:
            return title
        facts = {"functional": self.functional, "pseudopotentials": dict(self.pseudopotentials)}
        return f"{title}\n{MARK} {json.dumps(facts)}"

    def contradiction(self, other: Level, species: Iterable[str]) -> str | None:
        """How another level differs, in words, for structures of these elements; None where it does not, as far as
        both are known."""
        if self.functional and other.functional and self.functional != other.functional:
            return f"the functional {self.functional}, not {other.functional}"
        for symbol in species:
            ours, theirs = (level.pseudopotential(symbol) for level in (self, other))
            if ours and theirs and ours != theirs:
                return f"the pseudopotential {ours} for {symbol}, not {theirs}"
        return None

    def pseudopotential(self, symbol: str) -> str | None:
        """The name of an element's pseudopotential; None where it is not known."""
        return self.pseudopotentials.get(symbol, self.pseudopotentials.get("*"))

    @property
    def known(self) -> bool:
        """Whether both functional and pseudopotentials are known."""
        return bool(self.functional and self.pseudopotentials)

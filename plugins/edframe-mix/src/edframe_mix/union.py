"""The dataset ``union``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from edframe.data.copies import Identity, copies, identities, merged
from edframe.data.overview import facts_of
from edframe.errors import DataError
from edframe.interfaces import Contents, Dataset
from edframe.sample import Sample
from edframe_mix.plugin import UnionConfig


class JoinedSamples(Dataset):
    """The samples of several datasets, one member after the other, each as its member delivers it.

    An id that several members have is preceded by its member's name and a slash. Grids of different members are
    different, and so are groups, except those of samples that are the same. parts: the members, by name.
    """

    def __init__(self, config: UnionConfig, parts: Mapping[str, Dataset]) -> None:
        self.members = {name: parts[name] for name in config.members}

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    @property
    def contents(self) -> Contents:
        """Raises DataError where spin channels or dimensions of the members differ."""
        from pymatgen.core.periodic_table import Element

        by_member = {name: member.contents for name, member in self.members.items()}
        first, *others = by_member
        for name in others:
            for what in ("spins", "dimension"):
                one, other = getattr(by_member[first], what), getattr(by_member[name], what)
                if one != other:
                    raise DataError(
                        f"union: {first} has {what}={one} and {name} has {what}={other}; no model predicts both, so "
                        "join datasets that are alike"
                    )
        species = {symbol for contents in by_member.values() for symbol in contents.species}
        return replace(
            by_member[first],
            species=tuple(sorted(species, key=lambda symbol: Element(symbol).Z)),
            max_atoms=max(contents.max_atoms for contents in by_member.values()),
        )

    @property
    def groups(self) -> Sequence[int]:
        """Those of the members, joined where samples are the same, in one member or in two."""
        return self._groups

    @cached_property
    def identities(self) -> Sequence[Identity]:
        """What makes a sample the same as another."""
        return [identity for member in self.members.values() for identity in identities(member)]

    @property
    def facts(self) -> Sequence[Mapping[str, Any]]:
        """What is known of each sample without its density."""
        return [one for member in self.members.values() for one in facts_of(member)]

    @cached_property
    def _groups(self) -> Sequence[int]:
        return merged(_joined(member.groups for member in self.members.values()), copies(self.identities))

    @property
    def buckets(self) -> Sequence[int]:
        return _joined(member.buckets for member in self.members.values())

    @property
    def holdouts(self) -> Mapping[str, Sequence[int]]:
        """Those of the members under their own names, joined where members share one, and each member as a whole."""
        joined: dict[str, list[int]] = {}
        for (name, member), start in zip(self.members.items(), self._starts, strict=False):
            for test, indices in {**member.holdouts, name: range(len(member))}.items():
                joined.setdefault(test, []).extend(start + i for i in indices)
        return joined

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"union has {len(self)} samples, not {index + 1}")
        index %= len(self)
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        member = list(self.members.values())[place]
        return replace(member[index - self._starts[place]], id=self._ids[index])

    def fingerprint(self) -> str:
        prints = {name: member.fingerprint() for name, member in self.members.items()}
        return hashlib.sha256(json.dumps(prints).encode()).hexdigest()

    @property
    def ready(self) -> bool:
        return all(member.ready for member in self.members.values())

    @property
    def expected_groups(self) -> Sequence[int] | None:
        """Those of the members."""
        every = [member.expected_groups for member in self.members.values()]
        return None if None in every else _joined(groups for groups in every if groups is not None)

    @property
    def failures(self) -> Mapping[str, str]:
        """Behind the member's name and a slash."""
        return {
            f"{name}/{failed}": reason
            for name, member in self.members.items()
            for failed, reason in member.failures.items()
        }

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Build the members that are not ready, one after the other, each with its own progress."""
        if recompute:
            raise DataError(
                "union has no labels of its own; recompute those of a member, as in `edframe data build "
                f"{next(iter(self.members))} --recompute`"
            )
        for member in self.members.values():
            if not member.ready:
                member.build(advance, workers=workers, scheduler=scheduler)
        for name in ("_ids", "_starts", "identities", "_groups"):
            self.__dict__.pop(name, None)

    def describe(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {}
        for name, member in self.members.items():
            facts[name] = f"{len(member)} samples"
            facts |= {f"{name}: {key}": value for key, value in member.describe().items()}
        return facts

    @cached_property
    def _ids(self) -> Sequence[str]:
        own = [(name, id) for name, member in self.members.items() for id in member.ids]
        counts = Counter(id for _, id in own)
        return [f"{name}/{id}" if counts[id] > 1 else id for name, id in own]

    @cached_property
    def _starts(self) -> Sequence[int]:
        """The index of each member's first sample."""
        return list(accumulate((len(member) for member in self.members.values()), initial=0))[:-1]


def _joined(labels: Iterable[Sequence[int]]) -> list[int]:
    """Numbers in the place of each member's labels, in their order, none of them in two members."""
    joined: list[int] = []
    start = 0
    for own in labels:
        distinct, numbers = np.unique(np.asarray(own), return_inverse=True)
        joined += (start + numbers).tolist()
        start += len(distinct)
    return joined

"""Solves that did not converge: reported by the diagnostic ``unconverged`` of a loss, counted and reported here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from edframe.runs.events import Unconverged

UNCONVERGED = "unconverged"
"""Name of the diagnostic ``[b]``, 1 for a sample whose solve did not converge and 0 for others. A loss made of parts
puts the name of the part before it, with a dot."""


def unconverged(records: Iterable[Mapping[str, float]], during: str, samples: int = 1) -> list[Unconverged]:
    """An event with the count of each diagnostic ``unconverged`` that is not zero throughout.

    records: diagnostics by name, each the mean over ``samples`` samples; other ones are ignored.
    """
    means = defaultdict(list)
    for record in records:
        for name, mean in record.items():
            if name.rpartition(".")[2] == UNCONVERGED:
                means[name].append(mean)
    return [
        Unconverged(during, name, count=round(samples * sum(shares)), of=samples * len(shares))
        for name, shares in means.items()
        if any(shares)
    ]


def in_one_sentence(event: Unconverged, trained: str) -> str:
    """The event as a sentence. trained: the loss that a diagnostic without a prefix belongs to."""
    loss = [trained, *event.diagnostic.split(".")[:-1]][-1]
    return (
        f"{loss}: {event.count} of {event.of} solves in {event.during} did not converge, so their values are "
        f"less exact than asked for; `edframe plugins show {loss}` lists the options to change"
    )

"""What the training samples hold besides their atoms: charges, and electrons that are not paired."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edframe.data.valence import Valence

if TYPE_CHECKING:
    from edframe.sample import Sample

SAMPLES = 200
"""Samples that are asked at most."""
WHOLE = 0.1
"""Electrons by which a number may differ from a whole one."""
KEY = "filling"
"""In the header of a checkpoint."""


@dataclass(frozen=True)
class Filling:
    """lowest, highest: charges of the training samples in e. odd: whether any has an odd number of electrons."""

    lowest: float
    highest: float
    odd: bool

    @classmethod
    def of(cls, samples: Sequence[Sample], valence: Valence, spins: int) -> Filling | None:
        """None where ``valence`` does not say which sample is neutral, and for magnetic densities. At most ``SAMPLES``
        are asked, drawn evenly."""
        if not valence.settled or spins != 1:
            return None
        step = -(-len(samples) // SAMPLES) or 1
        some = [samples[place] for place in range(0, len(samples), step)]
        charges = [round(valence.count(sample.structure) - sample.electrons, 1) for sample in some]
        return cls(min(charges), max(charges), any(_odd(sample.electrons) for sample in some))

    @classmethod
    def load(cls, header: Mapping[str, str]) -> Filling | None:
        """From the header of a checkpoint; None where it says nothing, as in a run of an older edframe."""
        from edframe.runs.tensors import numbers

        if KEY not in header:
            return None
        facts = numbers(header[KEY])
        return cls(float(facts["lowest"]), float(facts["highest"]), bool(facts["odd"]))

    def header(self) -> dict[str, str]:
        """What ``load`` reads."""
        return {KEY: json.dumps(asdict(self))}

    def doubts(self, formula: str, electrons: float, neutral: float) -> list[str]:
        """In what a structure of so many electrons differs from all training samples, in sentences. neutral: electrons
        of its neutral atoms."""
        charge, said = neutral - electrons, []
        if not self.lowest - WHOLE <= charge <= self.highest + WHOLE:
            charges = "neutral structures" if not self.lowest and not self.highest else (
                f"charges from {self.lowest:+g} to {self.highest:+g}"
            )  # fmt: skip
            said.append(
                f"{formula} has a charge of {charge:+.3g} e, and the model was trained on {charges} alone: where the "
                "charge goes is not known to it"
            )
        if _odd(electrons) and not self.odd:
            said.append(
                f"{formula} has an odd number of electrons, {electrons:.6g}, an open shell, and the model was trained "
                "on closed shells alone"
            )
        return said


def _odd(electrons: float) -> bool:
    return abs(electrons - round(electrons)) < WHOLE and round(electrons) % 2 == 1

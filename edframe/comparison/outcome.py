"""What a finished run gives to a comparison, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Results, Step, Timing, Validation

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Outcome:
    """A finished run, as far as it is compared.

    variant: label on the compared axis. condition: label on each other axis, by its key; empty without others.
    samples: metrics of each test sample, by its id, in the units of ``units``. groups: see ``Dataset.groups``, by id.
    training: number of training samples. step_seconds: median time of a step. memory: peak in bytes. steps,
    validations: events of training.
    """

    variant: str
    condition: Mapping[str, str]
    fold: int
    seed: int
    run: Path
    samples: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, int]
    units: Mapping[str, str]
    training: int
    step_seconds: float
    memory: float
    steps: Sequence[Step]
    validations: Sequence[Validation]

    @classmethod
    def read(cls, run: Run, variant: str, condition: Mapping[str, str], fold: int, seed: int) -> Outcome:
        """Of a finished run. Raises RunError when its files are damaged."""
        events = run.events()
        samples = [event for event in events if isinstance(event, Evaluated)]
        steps = [event for event in events if isinstance(event, Step)]
        peaks = [event.peak_memory for event in events if isinstance(event, Timing) and event.peak_memory is not None]
        with run.reading("metrics.jsonl"):
            if not (results := [event for event in events if isinstance(event, Results)]):
                raise KeyError("summary")
        with run.reading("provenance.json"):
            training = int(run.provenance()["dataset"]["train"])
        ends = [event.seconds for event in steps]
        return cls(
            variant=variant,
            condition=dict(condition),
            fold=fold,
            seed=seed,
            run=run.path,
            samples={sample.id: sample.metrics for sample in samples},
            groups={sample.id: index if sample.group is None else sample.group for index, sample in enumerate(samples)},
            units={name: metric.unit for name, metric in results[0].metrics.items()},
            training=training,
            step_seconds=float(np.median(np.diff(ends))) if len(ends) > 1 else float("nan"),
            memory=float(max(peaks, default=float("nan"))),
            steps=steps,
            validations=[event for event in events if isinstance(event, Validation)],
        )

    def mean(self, metric: str) -> float:
        """Mean of a metric over the test samples for which it is defined; nan where it is for none."""
        values = np.array([sample[metric] for sample in self.samples.values()])
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def conditions(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """The different conditions, in order of appearance."""
    different: list[dict[str, str]] = []
    for outcome in outcomes:
        if outcome.condition not in different:
            different.append(dict(outcome.condition))
    return different


def metrics(outcomes: Sequence[Outcome]) -> list[str]:
    """Names of the metrics that all runs have, in the order of the first."""
    return [name for name in outcomes[0].units if all(name in outcome.units for outcome in outcomes)]


def frame(outcomes: Sequence[Outcome]) -> DataFrame:
    """One row per run and test sample: variant, condition, fold, seed, id, group, then a column for each metric."""
    from pandas import DataFrame

    names = metrics(outcomes)
    return DataFrame(
        [
            {
                "variant": outcome.variant,
                **outcome.condition,
                "fold": outcome.fold,
                "seed": outcome.seed,
                "id": sample,
                "group": outcome.groups[sample],
                **{name: values[name] for name in names},
            }
            for outcome in outcomes
            for sample, values in outcome.samples.items()
        ]
    )

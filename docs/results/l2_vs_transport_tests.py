"""Both test sets of runs that hold one out: the held-out samples, and others of the kind that was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from convex_page import TESTS
from convex_study import parts

from edframe.comparison.outcome import Outcome
from edframe.comparison.report.examples import restored
from edframe.contract.registry import Registry
from edframe.data.loading import Loader
from edframe.io.files import replacing
from edframe.runs.evaluate import measured

TESTED = "tested on"
"""The label of the condition."""


def both(outcomes: Sequence[Outcome], folder: Path) -> list[Outcome]:
    """Every run twice, under the condition ``TESTED``: on the part that its fold leaves out, every second sample of it,
    and on its held-out test set. The metrics of the former are kept in ``folder``, a file for each run."""
    every = []
    for number, outcome in enumerate(outcomes, 1):
        file = folder / f"{outcome.run.name}.json"
        if not file.exists():
            print(f"others of the same kind: {number}/{len(outcomes)} {outcome.run.name}", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            values = on_the_kind(outcome)
            with replacing(file) as written:
                written.write(json.dumps(values).encode())
        kept = json.loads(file.read_text(encoding="utf-8"))
        others = replace(outcome, samples=kept["samples"], groups=kept["groups"])
        for test, run in zip(TESTS.values(), (others, outcome), strict=True):
            every.append(replace(run, condition={**outcome.condition, TESTED: test}))
    return every


@torch.no_grad()
def on_the_kind(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The metrics of a run on every second sample of the part that its fold leaves out, and their groups, by id."""
    experiment, built = restored(outcome, Registry.discover())
    dataset, size = built.dataset, experiment.training.size or 0
    train, others, _ = parts(dataset, size, experiment.splits.fold, outcome.seed)
    assert tuple(train) == built.split.train, "the run has other training samples than the studies of the plane"
    loader = Loader(dataset, built.featurizer, "cpu")
    losses = {"sinkhorn": built.metrics["sinkhorn"]}  # W₂ is its root
    values = [measured(built.model, loader.batch([index]), losses)[0] for index in others]
    ids = [dataset.ids[index] for index in others]
    return {
        "samples": dict(zip(ids, values, strict=True)),
        "groups": {name: int(dataset.groups[index]) for name, index in zip(ids, others, strict=True)},
    }

"""Losses against each other in networks, in the plane of Li–O–Li, with enough pairs of runs for an answer.

python docs/results/plane.py                  every run of plane.yaml that is not finished, in its order
python docs/results/plane.py --only "atoms"   those whose key begins so: condition; loss; seed
python docs/results/plane.py cost             time and memory of a training step of each loss, with
                                              MALLOC_MMAP_THRESHOLD_=65536, so that what is freed is given back
python docs/results/plane.py table            what is there, into plane.md and its figures

Each finished run is a line of plane.jsonl; its errors by sample, which the intervals need, are in the folder of runs,
and what they say is kept in plane.json. A run without these, as on another machine, is made again, and its line
replaces the old one. Several of these commands may run at once: each takes runs that no other has begun.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import plane_page as page
import torch
from convex_study import FOLDS, TESTS, parts, short
from pages import ROOT, keep, put, record, records, summary
from plane_study import Planned, carry_out, cost, experiment_of, planned, recipe, tested

from edframe.comparison.statistics import paired
from edframe.contract.registry import Registry
from edframe.files import locked
from edframe.train.loop import Interrupted

RESULTS = Path(__file__).with_suffix(".jsonl")
SUMMARY, PAGE = RESULTS.with_suffix(".json"), RESULTS.with_suffix(".md")
RUNS, FIGURES = ROOT / "runs" / "plane", ROOT / "docs" / "figures"
REFERENCE = "l1"


def rows() -> list[dict[str, Any]]:
    """The finished runs in the order of the recipe; of one that two commands have made, the later."""
    made = {row["key"]: row for row in records(RESULTS)}
    return [made[plan.key] for plan in planned(recipe()) if plan.key in made]


def run_all(only: tuple[str, ...]) -> None:
    """The runs whose keys begin so and that are neither finished nor begun, each a row as soon as it is."""
    asked, registry = recipe(), Registry.discover()
    wanted = [plan for plan in planned(asked) if plan.key.startswith(only)]
    RUNS.mkdir(parents=True, exist_ok=True)
    for number, plan in enumerate(wanted, 1):
        try:
            with locked(RUNS / f"{plan.key}.lock"):
                if (RUNS / f"{plan.key}.npz").exists() and plan.key in {row["key"] for row in rows()}:
                    continue
                row, each = carry_out(plan, asked, registry)
                np.savez_compressed(RUNS / f"{plan.key}.npz", **each)
                record(RESULTS, row)
        except BlockingIOError:  # another command is at it
            continue
        print(
            f"{number}/{len(wanted)} {plan.key}: NMAE {row['inner']['nmae']:.3g}%, {row['seconds']:.0f} s", flush=True
        )


def effects_of(done: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Every loss minus l1, by condition, test and metric, over the seeds that have both: the mean of l1, the mean
    difference with its 95% interval over runs and groups of test samples, and p. "effects": of all pairs; "first":
    those that were asked for, of the pairs of the first look."""
    asked = recipe()
    plan = next(planned(asked))
    registry = Registry.discover()
    dataset = experiment_of(plan, asked, registry).data.make(registry)
    labels = np.asarray(dataset.groups)
    tests = {fold: [tested(part) for part in parts(dataset, 0, fold)[1:]] for fold in range(FOLDS)}
    stored = {
        row["key"]: dict(np.load(RUNS / f"{row['key']}.npz")) for row in done if (RUNS / f"{row['key']}.npz").exists()
    }

    def effect(condition: str, loss: str, test: str, metric: str, seeds: Sequence[int]) -> dict[str, Any]:
        place = TESTS.index(test)
        groups = np.concatenate([labels[list(tests[seed % FOLDS][place])] for seed in seeds])
        counts = [len(tests[seed % FOLDS][place]) for seed in seeds]
        ours, theirs = (
            np.concatenate([stored[Planned(condition, name, seed).key][f"{test} {metric}"] for seed in seeds])
            for name in (loss, REFERENCE)
        )
        difference, low, high, p = paired(ours - theirs, np.repeat(seeds, counts), groups)
        return {
            "condition": condition, "loss": loss, "test": test, "metric": metric, "pairs": len(seeds),
            "mean": short(float(ours.mean())), "l1": short(float(theirs.mean())),
            "difference": short(difference), "low": short(low), "high": short(high), "p": short(p),
        }  # fmt: skip

    def seeds(condition: str, loss: str) -> list[int]:
        return [
            seed for seed in range(max(part["seeds"] for part in asked["runs"]))
            if {Planned(condition, name, seed).key for name in (loss, REFERENCE)} <= stored.keys()
        ]  # fmt: skip

    pairs = {
        (condition, loss): here
        for condition in asked["conditions"]
        for loss in asked["losses"]
        if loss != REFERENCE and len(here := seeds(condition, loss)) > 1
    }
    first = []
    for q in asked["questions"]:
        here = [seed for seed in pairs.get((q["condition"], q["loss"]), []) if seed < asked["looks"]["first"]]
        if len(here) > 1:
            first.append(effect(q["condition"], q["loss"], q["test"], q["metric"], here))
    every = [
        effect(*names, test, metric, here) for names, here in pairs.items() for test in TESTS for metric in page.METRICS
    ]
    return {"effects": every, "first": first}


def write() -> None:
    """The tables between their markers in the page, and the figures."""
    asked, done = recipe(), rows()
    kept = summary(SUMMARY)
    effects = kept["effects"]
    for name, text in page.texts(asked, done, effects, kept["first"], kept["cost"]).items():
        put(PAGE, name, text)
    FIGURES.joinpath("plane-effects.png").write_bytes(page.forest(asked, effects))
    FIGURES.joinpath("plane-training.png").write_bytes(page.training(done))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["cost", "table"], help="instead of runs")
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of keys: 'atoms, 25; l1'")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what is None:
        try:
            run_all(tuple(options.only))
        except Interrupted:
            sys.exit("stopped; the same command goes on with the run that was begun")
        return
    if options.what == "cost":
        keep(SUMMARY, cost=costs())
        return
    if RUNS.is_dir() and (new := effects_of(rows()))["effects"]:
        keep(SUMMARY, **new)
    write()


def costs() -> dict[str, dict[str, float]]:
    """By loss; each in a process of its own, so that none finds memory that another has left."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as process:
        return {loss: process.submit(cost, loss).result() for loss in recipe()["losses"]}


if __name__ == "__main__":
    main()

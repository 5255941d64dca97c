"""How accurate `local` and `local-network` are on Li–O–Li and on (Li₂O)ₙ, and what a fit and a prediction cost.

    python benchmarks/local.py [--only NAME ...] [--tested 20] [--out benchmarks/local.json]

Each row is fitted to the training samples that `edframe run` would take, and tested on `--tested` of the same test
samples, spread evenly over them, on whole grids, by the metrics of edframe and with the electrons enforced by the model
`baseline`. The rows of clusters are tested on all larger ones, and on `--tested` others of the training's kind; they
have the rank correlation of the errors with the distance from the training set, by which `edframe predict` warns.
The rows `qm9` need `qm9_100.xyz` of metatrain's examples (BSD-3) in the working directory, labelled by `edframe data
build qm9-li2025`. Finished rows lie in the JSON file and are not repeated, so a stopped command goes on. Seconds are
those of the processor, on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.metrics.standard import nmae
from edframe.predict.novelty import TrainingSet
from edframe.runs.build import Parts, build

NETWORK = {"featurizer.steps": 8000}
UNION = ("data.members=[li-o-li,li2o-clusters]", "data.options.li-o-li={samples: 100}")
CLUSTERS = {"data": "union", "splits.test": "n>2"}
ALONE = {"data": "union", "splits.test": "n>1"}
OTHERS = {"n>2": "[1, 2]", "n>1": "[1]"}
"""Of each test set of clusters, the sizes of those that are trained on: the same samples, tested on others of their
kind."""
QM9 = {"data": "qm9-li2025", "data.file": "qm9_100.xyz", "splits.folds": 5, "splits.validation": 1}
ROWS: dict[str, dict[str, Any]] = {
    "local, 25": {"training.size": 25},
    "local, 25, corners": {"training.size": 25, "splits.test": "corners"},
    "local, 100": {"training.size": 100, "featurizer.points": 60_000, "featurizer.products": 1500},
    "local, all": {},
    "network, 25": {"training.size": 25, **NETWORK},
    "network, all": NETWORK,
    "network, 100": {"training.size": 100, **NETWORK},
    "network, all, corners": {"splits.test": "corners", **NETWORK},
    "network, 25, corners": {"training.size": 25, "splits.test": "corners", **NETWORK},
    "network, 100, corners": {"training.size": 100, "splits.test": "corners", **NETWORK},
    "local, clusters": CLUSTERS,
    "local without products, clusters": {**CLUSTERS, "featurizer.products": 0},
    "network, clusters": {**CLUSTERS, **NETWORK},
    "local, clusters n=1": ALONE,
    "local without products, clusters n=1": {**ALONE, "featurizer.products": 0},
    "local, qm9": QM9,
}


def built(values: dict[str, Any], fold: int, *more: str) -> tuple[Parts, list[str]]:
    """The parts of a row, and its settings."""
    registry = Registry.discover()
    name = "local-network" if "featurizer.steps" in values else "local"
    union = UNION if values.get("data") == "union" else ()
    options = (f"{key}={value}" for key, value in values.items() if key != "data")
    settings = ["featurizer.base=sad", *union, *options, *more]
    experiment, _ = resolve(
        registry,
        choices={"data": values.get("data", "li-o-li"), "featurizer": name, "model": "baseline", "loss": "l1"},
        settings=[*settings, f"splits.fold={fold}"],
    )
    return build(experiment, registry, lambda done, total: None), settings


def measure(values: dict[str, Any], fold: int, tested: int) -> dict[str, Any]:
    """One row."""
    parts, settings = built(values, fold)
    train = [parts.dataset[i] for i in parts.split.train]
    clusters = values.get("data") == "union"
    asked = [(parts, len(parts.split.test) if clusters else tested)]
    if clusters:
        sizes = OTHERS[values["splits.test"]]
        same = ("splits.test=null", f"data.options.li2o-clusters={{sizes: {sizes}}}")
        asked.append((built(values, fold, *same)[0], tested))
        others = asked[1][0]
        assert [sample.id for sample in train] == [others.dataset[i].id for i in others.split.train]
    began = time.process_time()
    numbers = parts.featurizer.fit(train)
    fitted = time.process_time()
    parts.model.eval()
    known = TrainingSet.of(
        [sample.structure for sample in train],
        [parts.dataset.groups[i] for i in parts.split.train],
        parts.dataset.contents.species,
    )
    errors, distances, seconds = [], {}, 0.0
    for ours, count in asked:
        here = {}
        for index in np.unique(np.linspace(0, len(ours.split.test) - 1, count).round().astype(int)):
            sample = ours.dataset[ours.split.test[index]]
            start = time.process_time()
            features = parts.featurizer([sample.structure], sample.grid, "cpu")
            density = parts.model(features.channels, features.baseline, sample.grid, torch.tensor([sample.electrons]))
            seconds += time.process_time() - start
            here[sample.id] = float(nmae(density, torch.from_numpy(sample.density)[None]))
            distances[sample.id] = known.judge(sample.structure).distance
        errors.append(here)
    every = {name: error for here in errors for name, error in here.items()}
    row = {
        "nmae": float(np.mean(list(errors[0].values()))),
        "median": float(np.median(list(errors[0].values()))),
        "worst": max(errors[0].values()),
        "tested": errors[0],
        "training": len(train),
        "fit": fitted - began,
        "prediction": seconds / len(every),
        "found": dict(numbers),
        "settings": settings,
        "fold": fold,
    }
    if clusters:
        rank = spearmanr(list(every.values()), [distances[name] for name in every]).statistic
        row |= {"others": errors[1], "distances": distances, "spearman": float(rank)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--tested", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for fold in arguments.folds:
        for name in arguments.only:
            key = f"{name}, fold {fold}, {arguments.tested} tested"
            if key not in done:
                done[key] = measure(ROWS[name], fold, arguments.tested)
                arguments.out.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n")
            row = done[key]
            print(f"{key}: {row['nmae']:.3f} %, worst {row['worst']:.3f} %, fit {row['fit']:.0f} s", flush=True)


if __name__ == "__main__":
    main()

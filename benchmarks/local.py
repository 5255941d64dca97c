"""How accurate `local` and `local-network` are on Li–O–Li and on (Li₂O)ₙ, and what a fit and a prediction cost.

    python benchmarks/local.py [--only NAME ...] [--tested 20] [--out benchmarks/local.json]

Each row is fitted to the training samples that `edframe run` would take, and tested on `--tested` of the same test
samples, spread evenly over them, on whole grids, by the metrics of edframe and with the electrons enforced by the model
`baseline`. Finished rows lie in the JSON file and are not repeated, so a stopped command goes on. Seconds are those of
the processor, on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.metrics.standard import nmae
from edframe.runs.build import build

NETWORK = {"featurizer.steps": 8000}
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
    "local, clusters of 3 and 4": {"data": "union", "splits.test": "n>2", "training.size": 50},
}


def measure(values: dict[str, Any], fold: int, tested: int) -> dict[str, Any]:
    """One row."""
    registry = Registry.discover()
    name = "local-network" if "featurizer.steps" in values else "local"
    settings = ["featurizer.base=sad", *(f"{key}={value}" for key, value in values.items() if key != "data")]
    experiment, _ = resolve(
        registry,
        choices={"data": values.get("data", "li-o-li"), "featurizer": name, "model": "baseline", "loss": "l1"},
        settings=[*settings, f"splits.fold={fold}"],
    )
    parts = build(experiment, registry, lambda done, total: None)
    train = [parts.dataset[i] for i in parts.split.train]
    began = time.process_time()
    numbers = parts.featurizer.fit(train)
    fitted = time.process_time()
    parts.model.eval()
    errors = {}
    for index in np.unique(np.linspace(0, len(parts.split.test) - 1, tested).round().astype(int)):
        sample = parts.dataset[parts.split.test[index]]
        features = parts.featurizer([sample.structure], sample.grid, "cpu")
        electrons = torch.tensor([sample.electrons])
        density = parts.model(features.channels, features.baseline, sample.grid, electrons)
        errors[sample.id] = float(nmae(density, torch.from_numpy(sample.density)[None]))
    return {
        "nmae": float(np.mean(list(errors.values()))),
        "median": float(np.median(list(errors.values()))),
        "worst": max(errors.values()),
        "tested": errors,
        "training": len(train),
        "fit": fitted - began,
        "prediction": (time.process_time() - fitted) / len(errors),
        "found": dict(numbers),
        "settings": settings,
        "fold": fold,
    }


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

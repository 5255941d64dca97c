"""The dropout ablation of 2018, repeated: the table and the figure of docs/acres2018.md.

    python docs/results/dropout.py                 the plane: four rates on four folds, 16 runs
    python docs/results/dropout.py --dimension 3   the density: four rates on fold 0, about 3 minutes each on two cores

Each finished run is a line of ``dropout.json`` and is not made again, unless its recipe has changed; stop and repeat at
will. Table and figure are written after every run, from that file alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import ROOT, put
from scipy.stats import t as student

from edframe.config.experiment import Experiment
from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.report.style import BLUE, GREY, ORANGE, panels, png, styled
from edframe.runs.build import build, fabric_for
from edframe.runs.directory import Run
from edframe.runs.events import Results, Step
from edframe.runs.execute import execute
from edframe.train.checkpoint import Checkpoint

RESULTS = Path(__file__).with_name("dropout.json")
FIGURE, PAGE = ROOT / "docs" / "figures" / "dropout.png", ROOT / "docs" / "acres2018.md"

RATES = (0.0, 0.1, 0.3, 0.5)
RECIPES = {2: "acres2018-2d.yaml", 3: "acres2018.yaml"}
FOLDS = {2: (0, 1, 2, 3), 3: (0,)}
SHORTER = {2: (), 3: ("training.steps=1000",)}
"""What differs from the recipe: three minutes instead of ten."""


def planned(registry: Registry, dimension: int) -> list[tuple[str, Experiment]]:
    """Every run with a key that changes when anything in its configuration does."""
    found = []
    for fold in FOLDS[dimension]:
        for rate in RATES:
            settings = [f"model.dropout={rate}", f"name=dropout-{dimension}d-{rate}-fold{fold}", *SHORTER[dimension]]
            recipe = ROOT / "configs" / RECIPES[dimension]
            experiment, _ = resolve(registry, recipe, settings=settings, flags={"splits.fold": fold, "device": "cpu"})
            found.append((hashlib.sha256(experiment.to_yaml().encode()).hexdigest()[:12], experiment))
    return found


def measured(registry: Registry, experiment: Experiment, runs: Path) -> dict[str, Any]:
    """Train and evaluate one; errors of its test samples, and the squared error that it was trained to at the end."""
    parts = build(experiment, registry, lambda done, total: None)
    run = Run.create(runs, experiment.name, experiment.to_yaml())
    began = time.perf_counter()
    execute(
        experiment, parts, registry, run, fabric_for(experiment), start=Checkpoint(), show=lambda event: None
    )  # fmt: skip
    metrics = next(event.metrics for event in run.events() if isinstance(event, Results))
    losses = [event.loss for event in run.events() if isinstance(event, Step)]
    return {
        "dimension": parts.dataset.contents.dimension,
        "dropout": experiment.model.dump()["dropout"],
        "fold": experiment.splits.fold,
        "steps": experiment.training.steps,
        **{name: round(metrics[name].mean, 4) for name in ("nmae", "low_density_nmae", "l2")},
        "last_training_l2": round(float(np.mean(losses[-50:])), 4),
        "seconds": round(time.perf_counter() - began, 1),
        "threads": torch.get_num_threads(),
    }


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half the width of its 95% interval by Student's t; nan for a single value."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def by_rate(records: Mapping[str, Any], dimension: int, metric: str) -> dict[float, np.ndarray]:
    """The values of each rate ``[fold]``, for the rates that have all folds."""
    chosen = [record for record in records.values() if record["dimension"] == dimension]
    found = {}
    for rate in RATES:
        values = {record["fold"]: record[metric] for record in chosen if record["dropout"] == rate}
        if set(values) == set(FOLDS[dimension]):
            found[rate] = np.array([values[fold] for fold in sorted(values)])
    return found


def table(records: Mapping[str, Any], dimension: int) -> str:
    nmae, test, train = (by_rate(records, dimension, m) for m in ("nmae", "l2", "last_training_l2"))
    if not nmae:
        return ""
    lines = [
        f"| dropout, {dimension}D | test NMAE, % | minus that without | test L2 | L2 of the last training steps |",
        "|---|---|---|---|---|",
    ]
    for rate, values in nmae.items():
        less = "–" if rate == 0 or 0.0 not in nmae else _shown(*interval(values - nmae[0.0]), sign="+")
        lines.append(
            f"| {rate:g} | {_shown(*interval(values))} | {less} | {test[rate].mean():.3g} | {train[rate].mean():.3g} |"
        )
    return "\n".join(lines) + "\n"


def _shown(mean: float, half: float, sign: str = "") -> str:
    return f"{mean:{sign}.2f}" + ("" if np.isnan(half) else f" ± {half:.2f}")


def figure(records: Mapping[str, Any]) -> bytes:
    """The test error against the rate: each fold, and the mean with its interval; one panel per dimension there is."""
    shown = {dimension: found for dimension in (2, 3) if (found := by_rate(records, dimension, "nmae"))}
    with styled():
        drawing, axes = panels(max(len(shown), 1), 3.6 * max(len(shown), 1), 2.9)
        for ax, (dimension, found) in zip(axes, shown.items(), strict=False):
            rates = list(found)
            folds = np.stack(list(found.values()))
            ax.plot(rates, folds, color=GREY, linewidth=0.8, marker="o", markersize=3, zorder=1)
            ax.plot([], [], color=GREY, linewidth=0.8, marker="o", markersize=3, label="one fold")
            if len(FOLDS[dimension]) > 1:
                means, halves = zip(*map(interval, folds), strict=True)
                ax.errorbar(rates, means, halves, color=BLUE, marker="s", markersize=4, capsize=3,
                            label="mean, 95% interval")  # fmt: skip
            ax.axhline(folds[0].mean(), color=ORANGE, linewidth=0.8, linestyle=":", label="without dropout")
            ax.set(xlabel="dropout", ylabel="test NMAE (%)", xticks=rates, title=f"{dimension}D")
            ax.set_ylim(bottom=0)
            ax.legend()
        return png(drawing)


def write(records: Mapping[str, Any]) -> None:
    """The results, the figure, and the table between its markers in the page."""
    lines = ",\n".join(f' "{key}": {json.dumps(record)}' for key, record in records.items())
    RESULTS.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    if any(by_rate(records, dimension, "nmae") for dimension in (2, 3)):
        FIGURE.write_bytes(figure(records))
    tables = "\n".join(filter(None, (table(records, dimension) for dimension in (2, 3))))
    put(PAGE, "dropout", tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, choices=(2, 3), default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    records = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    registry = Registry.discover()
    plans = planned(registry, arguments.dimension)
    current = {key for key, _ in plans}
    # A run of a former recipe is not comparable with the others.
    records = {k: r for k, r in records.items() if k in current or r["dimension"] != arguments.dimension}
    for key, experiment in plans:
        if key not in records:
            records[key] = measured(registry, experiment, arguments.runs)
            print(experiment.name, records[key], flush=True)
            write(records)
    write(records)


if __name__ == "__main__":
    main()

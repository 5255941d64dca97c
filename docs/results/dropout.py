"""The dropout ablation of 2018, repeated: the table and the figure of docs/acres2018.md.

edframe compare configs/comparisons/acres2018-dropout-2d.yaml     the plane: four rates on four folds, 16 runs
edframe compare configs/comparisons/acres2018-dropout-3d.yaml     the density: four rates on fold 0, minutes each
python docs/results/dropout.py                                    takes what is finished, writes table and figure
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pages import ROOT, RUNS, finished, put
from scipy.stats import t as student

from edframe.comparison.outcome import Outcome
from edframe.comparison.plan import Planned
from edframe.files import whole
from edframe.report.style import BLUE, GREY, ORANGE, panels, png, styled
from edframe.runs.directory import Run

RESULTS = Path(__file__).with_name("dropout.json")
FIGURE, PAGE = ROOT / "docs" / "figures" / "dropout.png", ROOT / "docs" / "acres2018.md"

RATES = (0.0, 0.1, 0.3, 0.5)
RECIPES = {2: "acres2018-dropout-2d", 3: "acres2018-dropout-3d"}
FOLDS = {2: (0, 1, 2, 3), 3: (0,)}

IDENTITY = ("dimension", "dropout", "fold")
"""Keys of a record that say which run it is."""


def record(dimension: int, plan: Planned, outcome: Outcome) -> dict[str, Any]:
    """Errors of a run's test samples, and the squared error that it was trained to at the end."""
    losses = [step.loss for step in outcome.steps]
    return {
        "dimension": dimension,
        "dropout": plan.experiment.model.dump()["dropout"],
        "fold": plan.fold,
        "steps": plan.experiment.training.steps,
        **{name: round(outcome.mean(name), 4) for name in ("nmae", "low_density_nmae", "l2")},
        "last_training_l2": round(float(np.mean(losses[-50:])), 4),
        "seconds": round(outcome.steps[-1].seconds, 1),
        "threads": Run.open(outcome.run).provenance()["threads"],
    }


def joined(records: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """All records by the names of their runs, the new ones in place of others of the same rate and fold."""
    known = {tuple(entry[key] for key in IDENTITY): (name, entry) for name, entry in {**records, **new}.items()}
    return dict(known.values())


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half the width of its 95% interval by Student's t; nan for a single value."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def by_rate(records: Mapping[str, Any], dimension: int, metric: str) -> dict[float, np.ndarray]:
    """The values of each rate ``[fold]``, for the rates that have all folds."""
    chosen = [record for record in records.values() if record["dimension"] == dimension]
    per_rate = {}
    for rate in RATES:
        values = {record["fold"]: record[metric] for record in chosen if record["dropout"] == rate}
        if set(values) == set(FOLDS[dimension]):
            per_rate[rate] = np.array([values[fold] for fold in sorted(values)])
    return per_rate


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
    shown = {dimension: per_rate for dimension in (2, 3) if (per_rate := by_rate(records, dimension, "nmae"))}
    with styled():
        drawing, axes = panels(max(len(shown), 1), 3.6 * max(len(shown), 1), 2.9)
        for ax, (dimension, per_rate) in zip(axes, shown.items(), strict=False):
            rates = list(per_rate)
            folds = np.stack(list(per_rate.values()))
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
    with whole(RESULTS) as file:
        file.write(("{\n" + lines + "\n}\n").encode())
    if any(by_rate(records, dimension, "nmae") for dimension in (2, 3)):
        FIGURE.write_bytes(figure(records))
    tables = "\n".join(filter(None, (table(records, dimension) for dimension in (2, 3))))
    put(PAGE, "dropout", tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs of edframe compare")
    options = parser.parse_args()
    new = {
        outcome.run.parent.name[:12]: record(dimension, plan, outcome)
        for dimension, recipe in RECIPES.items()
        for plan, outcome in finished(recipe, options.runs)
    }
    write(joined(json.loads(RESULTS.read_text(encoding="utf-8")), new))


if __name__ == "__main__":
    main()

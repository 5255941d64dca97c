"""Writes the tables of ``accuracy.md`` from the finished runs of ``edframe compare``.

edframe compare configs/comparisons/accuracy-random.yaml    one seed, about 15 minutes a run; so do -corners, -clusters
edframe compare configs/comparisons/accuracy-full.yaml      three seeds and long training; so does -full-clusters
python docs/results/accuracy.py                             what is finished goes into accuracy.json and the tables
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pages import RUNS, finished, put
from scipy import stats

from edframe.comparison.plan import Planned
from edframe.files import whole
from edframe.runs.directory import Run
from edframe.runs.events import to_dict

RESULTS = Path(__file__).with_name("accuracy.json")
PAGE = Path(__file__).with_name("accuracy.md")

RECIPES = {
    "small": {"accuracy-random": "random", "accuracy-corners": "corners", "accuracy-clusters": None},
    "full": {"accuracy-full": None, "accuracy-full-clusters": None},
}
"""Comparisons of each budget, and the task of one that has a single task."""

TASKS = {
    "random": "Random folds of Li–O–Li",
    "corners": "Corners of Li–O–Li held out",
    "clusters": "(Li₂O)ₙ, n = 3 and 4; Li–O–Li, n = 1 and 2 in training",
    "small-clusters": "The same training, tested on others of its kind",
    "clusters-n1": "(Li₂O)ₙ, n = 2 to 4; Li–O–Li and n = 1 in training",
}

MODELS = ("krr", "acres2018", "unet", "resunet")
"""In the order of the tables; recipes of ``configs/``."""

METRICS = {"nmae": "NMAE", "low_density_nmae": "NMAE where ρ < 0.05 e/Å³", "dipole_error": "dipole"}

IDENTITY = ("budget", "model", "task", "fold", "seed")
"""Keys of a result that say which run it is."""


def result(budget: str, recipe: str, plan: Planned, run: Run) -> dict[str, Any]:
    """What is kept of a finished run."""
    events, facts = [to_dict(event) for event in run.events()], run.provenance()
    (summary,) = [event for event in events if event["event"] == "summary"]
    return {
        "budget": budget,
        "model": plan.variant,
        "task": RECIPES[budget][recipe] or plan.condition["task"],
        "fold": plan.fold,
        "seed": plan.seed,
        "command": f"edframe compare configs/comparisons/{recipe}.yaml",
        "samples": summary["samples"],
        "metrics": {key: summary["metrics"][key] for key in METRICS},
        "by_size": _by_size(events),
        "seconds": round(_training_seconds(events), 1),
        "hardware": _hardware(facts),
        "git_commit": facts["git_commit"],
    }


def _hardware(facts: Mapping[str, Any]) -> str:
    if facts["device"] != "cpu":
        return str(facts["device"])
    return f"cpu, {facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"


def _training_seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Steps times the median step, which a pause does not change; of a model that is fitted, reading and the fit."""
    ends = [event["seconds"] for event in events if event["event"] == "step"]
    if ends:
        return len(ends) * float(np.median(np.diff(ends)))
    (timing,) = [event for event in events if event["event"] == "timing"]
    return float(timing["data"] + timing["fit"])


def _by_size(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean NMAE of the clusters of each n, from the samples' names ``li2o-<n>-<number>``."""
    sizes = defaultdict(list)
    for event in events:
        if event["event"] == "sample" and event["id"].startswith("li2o-"):
            sizes[event["id"].split("-")[1]].append(event["nmae"])
    return {n: float(np.mean(values)) for n, values in sorted(sizes.items())}


def results() -> list[dict[str, Any]]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def keep(records: Sequence[Mapping[str, Any]]) -> None:
    """Put results into the file, in place of those of the same runs."""
    known = {tuple(line[key] for key in IDENTITY): line for line in (*results(), *records)}
    with whole(RESULTS) as file:
        lines = [json.dumps(line, ensure_ascii=False) for line in known.values()]
        file.write(("[\n" + ",\n".join(lines) + "\n]\n").encode())


def interval(runs: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Mean and 95% interval: Student's over runs, or, of a single run, the bootstrap over its test samples."""
    means = [run["metrics"][metric]["mean"] for run in runs]
    mean = float(np.mean(means))
    if len(runs) > 1:
        low, high = stats.t.interval(0.95, len(runs) - 1, mean, stats.sem(means))
    else:
        low, high = runs[0]["metrics"][metric]["low"], runs[0]["metrics"][metric]["high"]
    return f"{mean:.3g} ({low:.3g} – {high:.3g})"


def tables(budget: str) -> str:
    """One table per task, in Markdown."""
    grouped = defaultdict(list)
    for result in results():
        if result["budget"] == budget:
            grouped[result["task"], result["model"]].append(result)
    text = []
    for name, title in TASKS.items():
        rows = [(model, grouped[name, model]) for model in MODELS if grouped[name, model]]
        if not rows:
            continue
        head = f"{METRICS['nmae']}, % | {METRICS['low_density_nmae']}, % | {METRICS['dipole_error']}, e·Å"
        text += [
            f"#### {title}",
            "",
            f"| model | runs | {head} | training, min | on |",
            "|---|---|---|---|---|---|---|",
        ]
        for model, runs in rows:
            values = " | ".join(interval(runs, metric) for metric in METRICS)
            minutes = np.mean([run["seconds"] for run in runs]) / 60
            text.append(f"| {model} | {len(runs)} | {values} | {minutes:.2g} | {runs[0]['hardware']} |")
        text.append("")
        for model, runs in rows:
            sizes = {n: np.mean([run["by_size"][n] for run in runs]) for n in runs[0]["by_size"]}
            if sizes:
                each = ", ".join(f"n = {n}: {value:.3g} %" for n, value in sizes.items())
                text += [f"{model}, NMAE by size: {each}.", ""]
    return "\n".join(text)


def write_page() -> None:
    """Replace what stands between the markers of ``accuracy.md``."""
    for budget in ("small", "full"):
        put(PAGE, budget, tables(budget) or "Not run yet.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs of edframe compare")
    options = parser.parse_args()
    keep([
        result(budget, recipe, plan, Run.open(outcome.run))
        for budget, recipes in RECIPES.items()
        for recipe in recipes
        for plan, outcome in finished(recipe, options.runs)
    ])  # fmt: skip
    write_page()


if __name__ == "__main__":
    main()

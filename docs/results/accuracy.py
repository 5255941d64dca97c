"""Runs what ``accuracy.md`` compares, and writes its tables. Finished runs are kept, stopped ones continued.

python docs/results/accuracy.py small                        one seed, about 10 minutes a run on two cores; hours in all
python docs/results/accuracy.py small --only unet-random     runs whose name begins so: <model>-<split>-<fold>-<seed>
python docs/results/accuracy.py full --device cuda           three seeds and long training, for a GPU
python docs/results/accuracy.py --pages                      the tables alone, from accuracy.json

Every run is ``edframe run`` with a recipe of ``configs/`` and the options below; its command is in ``accuracy.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pages import ROOT, edframe, put
from scipy import stats

from edframe.runs.directory import Run
from edframe.runs.events import to_dict

RESULTS = Path(__file__).with_name("accuracy.json")
PAGE = Path(__file__).with_name("accuracy.md")
RUNS = ROOT / "runs" / "accuracy"

MODELS = ("krr", "acres2018", "unet", "resunet")
"""Recipes of ``configs/``, with the small budget."""

LONG = {"training.steps": 60000, "training.batch_size": 4, "training.evaluate_every": 1000, "training.ema_decay": 0.999}
"""The full budget of what is trained by gradient, on a GPU."""

UNION = (
    *("--data", "union", "--set", "data.members=[li-o-li,li2o-clusters]"),
    *("--set", "data.options.li-o-li.samples=100", "--set", "training.augment=true"),
)
"""Clusters lie in all directions, so a model that is to be used on them must have seen more than one."""


@dataclass(frozen=True)
class Task:
    """What is held out: options of ``edframe run``, the models that can do it, and the folds that are run."""

    title: str
    options: tuple[str, ...]
    models: tuple[str, ...]
    folds: int


TASKS = {
    "random": Task("Random folds of Li–O–Li", (), MODELS, 4),
    "corners": Task("Corners of Li–O–Li held out", ("--set", "splits.test=corners"), MODELS, 1),
    "clusters": Task(
        "(Li₂O)ₙ, n = 3 and 4; Li–O–Li, n = 1 and 2 in training",
        (*UNION, "--set", "splits.test=n>2"),
        ("unet", "resunet"),
        1,
    ),
    "small-clusters": Task(
        "The same training, tested on others of its kind",
        (*UNION, "--set", "data.options.li2o-clusters.sizes=[1,2]"),
        ("unet", "resunet"),
        1,
    ),
    "clusters-n1": Task(
        "(Li₂O)ₙ, n = 2 to 4; Li–O–Li and n = 1 in training", (*UNION, "--set", "splits.test=n>1"), ("unet",), 1
    ),
}
"""krr knows one cell, and the model of 2018 has a channel for each of three atoms: neither can be given clusters."""

METRICS = {"nmae": "NMAE", "low_density_nmae": "NMAE where ρ < 0.05 e/Å³", "dipole_error": "dipole"}


@dataclass(frozen=True)
class Planned:
    """One run of the table."""

    budget: str
    model: str
    task: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.task}-{self.fold}-{self.seed}"

    def command(self, device: str) -> list[str]:
        """Arguments of ``edframe``."""
        seeds = ["--set", f"seed={self.seed}", "--fold", str(self.fold), "--device", device]
        longer = [
            f"--set={key}={value}" for key, value in LONG.items() if self.budget == "full" and self.model != "krr"
        ]
        return ["run", f"configs/{self.model}.yaml", *TASKS[self.task].options, *seeds, *longer]


IDENTITY = [field.name for field in fields(Planned)]
"""Keys of a result that say which run it is."""


def planned(budget: str) -> Iterator[Planned]:
    """All runs of a budget, fold by fold, so that the first table is early."""
    full = budget == "full"
    for seed in range(3 if full else 1):
        for fold in range(4):
            for name, task in TASKS.items():
                if fold < (4 if full else task.folds):
                    yield from (Planned(budget, model, name, fold, seed) for model in task.models)


def carry_out(plan: Planned, device: str) -> dict[str, Any]:
    """Do, or continue, a run; returns what is kept of it."""
    folder = RUNS / plan.budget / plan.name
    command = plan.command(device)
    found = [Run.open(path) for path in sorted(folder.glob("*"))] if folder.is_dir() else []
    finished = [run for run in found if run.provenance()["status"] == "finished"]
    if not finished:
        arguments = ["run", "--resume", str(found[-1].path)] if found else [*command, "--runs", str(folder)]
        edframe(*arguments)
        finished = [Run.open(path) for path in sorted(folder.glob("*"))]
    (run,) = finished[:1]
    events = [to_dict(event) for event in run.events()]
    (summary,) = [event for event in events if event["event"] == "summary"]
    facts = run.provenance()
    return {
        **asdict(plan),
        "command": shlex.join(["edframe", *command]),
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


def keep(result: Mapping[str, Any]) -> None:
    """Add a result to the file, which is replaced whole."""
    lines = [json.dumps(line, ensure_ascii=False) for line in (*results(), result)]
    temporary = RESULTS.with_suffix(f".{os.getpid()}")
    temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    temporary.replace(RESULTS)


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
    for name, task in TASKS.items():
        rows = [(model, grouped[name, model]) for model in task.models if grouped[name, model]]
        if not rows:
            continue
        head = f"{METRICS['nmae']}, % | {METRICS['low_density_nmae']}, % | {METRICS['dipole_error']}, e·Å"
        text += [
            f"#### {task.title}",
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
    parser.add_argument("budget", nargs="?", choices=["small", "full"])
    parser.add_argument("--only", default="", help="runs whose name begins so")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pages", action="store_true", help="write the tables alone")
    options = parser.parse_args()
    if not options.pages:
        if options.budget is None:
            parser.error("say which budget: small or full")
        for plan in planned(options.budget):
            known = {Planned(*(result[key] for key in IDENTITY)) for result in results()}
            if plan.name.startswith(options.only) and plan not in known:
                print(f"── {plan.name}", flush=True)
                keep(carry_out(plan, options.device))
                write_page()
    write_page()


if __name__ == "__main__":
    main()

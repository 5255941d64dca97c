"""Losses against each other without a network: each loss's one optimum over densities that are affine in coefficients.

python docs/results/convex.py                        every solve that convex.jsonl lacks, most wanted first
python docs/results/convex.py --only "25 0" "10 "    those whose key begins so: training samples, fold, objective
python docs/results/convex.py blindness              the Hessians, from the finished solves of fold 0
python docs/results/convex.py cost                   time and memory of one evaluation of each loss
python docs/results/convex.py table                  what is there, into convex.md and its figures

Each finished solve is a line of convex.jsonl; its errors by sample, which the intervals need, are in the folder of
runs, and what they say is kept in convex.json. Several of these commands may run at once.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import convex_measure
import convex_page as page
import numpy as np
import torch
from convex_study import BLURS, SINGLE, TESTS, Study, short, solves
from pages import ROOT, put

from edframe.comparison.outcome import Outcome
from edframe.comparison.statistics import Effect, effects
from edframe.files import whole

RESULTS = Path(__file__).with_suffix(".jsonl")
SUMMARY, PAGE = RESULTS.with_suffix(".json"), RESULTS.with_suffix(".md")
RUNS, FIGURES = ROOT / "runs" / "convex", ROOT / "docs" / "figures"


def rows() -> list[dict[str, Any]]:
    """The finished solves; one that two commands have finished is there once."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return list({(row := json.loads(line))["key"]: row for line in lines}.values())


def summary() -> dict[str, Any]:
    """What is kept beside the rows: "effects", "blindness" and "cost"."""
    return json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.exists() else {}


def keep(name: str, value: Any) -> None:
    with whole(SUMMARY) as file:
        file.write((json.dumps({**summary(), name: value}, indent=1, ensure_ascii=False) + "\n").encode())


def effects_of(study: Study) -> list[dict[str, Any]]:
    """Every loss against l1, by size and test, where two folds have both, as comparisons of runs do it."""
    outcomes = []
    for row in rows():
        file = RUNS / f"{row['key']}.npz"
        if len(row["losses"]) > 1 or not file.exists():
            continue
        parts, stored = dict(zip(TESTS, study.parts(row["size"], row["fold"])[1:], strict=True)), np.load(file)
        for test, ids in parts.items():
            values = {name: stored[f"{test} {name}"] for name in page.METRICS}
            names = [study.dataset.ids[index] for index in ids]
            outcomes.append(
                Outcome(
                    variant=row["objective"],
                    condition={"training samples": str(row["size"] or "all"), "test": test},
                    fold=row["fold"],
                    seed=0,
                    run=file,
                    samples={n: {m: float(v[i]) for m, v in values.items()} for i, n in enumerate(names)},
                    groups={n: int(study.dataset.groups[i]) for n, i in zip(names, ids, strict=True)},
                    units=page.UNITS,
                    training=row["samples"],
                    step_seconds=math.nan,
                    memory=math.nan,
                    steps=(),
                    validations=(),
                )
            )
    return [
        {key: short(value) if isinstance(value, float) else value for key, value in asdict(effect).items()}
        for effect in effects(outcomes, "l1")
        if math.isfinite(effect.p)
    ]


def blindness(study: Study) -> dict[str, Any]:
    """Of the errors that optima of fold 0 leave on its inner test samples."""
    study.take(page.FRONT, 0)
    errors = {}
    for name in ("l1", "l2", "sinkhorn 0.15"):
        z = np.load(RUNS / f"{page.FRONT} 0 {name}.npz")["z"]
        errors[name] = study.tests[0].predicted(z).flatten(1).numpy() - study.tests[0].reference
    return convex_measure.blindness(study.tables, errors, study.ids[1], BLURS)


def write() -> None:
    """The tables between their markers in the page, and the figures."""
    done, known = rows(), summary()
    every = [Effect(**{**e, "condition": tuple(tuple(pair) for pair in e["condition"])}) for e in known["effects"]]
    for test, called in page.TESTS.items():
        head = f"#### 25 training samples, tested on {called}\n\n"
        put(PAGE, test, head + page.means(done, 25, test) + "\n" + page.effects(every, "25", test))
    tables = (page.sizes(done, metric, test) for metric in ("nmae", "w2", "dipole_error") for test in TESTS)
    heads = [f"Tested on {called}:" for _ in range(3) for called in page.TESTS.values()]
    put(PAGE, "sizes", "\n".join(f"{h}\n\n{t}" for h, t in zip(heads, tables, strict=True)))
    put(PAGE, "residuals", page.residuals(done))
    put(PAGE, "blindness", page.named_costs(known["blindness"]))
    put(PAGE, "cost", page.cost_table(known["cost"]))
    FIGURES.joinpath("convex-front.png").write_bytes(page.fronts(done))
    FIGURES.joinpath("convex-blindness.png").write_bytes(page.blindness(known["blindness"]))
    FIGURES.joinpath("convex-seconds.png").write_bytes(page.seconds(done, known["cost"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["blindness", "cost", "table"], help="instead of solves")
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of keys: '25', '25 0', 'all 0 l1'")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study()
    if options.what == "blindness":
        keep("blindness", blindness(study))
    elif options.what == "cost":
        keep("cost", convex_measure.evaluations(study.loss, SINGLE))
    elif options.what == "table":
        if RUNS.is_dir() and (new := effects_of(study)):
            keep("effects", new)
        write()
    else:
        carry_out(study, tuple(options.only))


def carry_out(study: Study, only: tuple[str, ...]) -> None:
    """The solves whose keys begin so and that are not finished, each a row as soon as it is."""
    wanted = [solve for solve in solves() if solve.key.startswith(only)]
    RUNS.mkdir(parents=True, exist_ok=True)
    for number, solve in enumerate(wanted, 1):
        if solve.key in {row["key"] for row in rows()}:
            continue
        begun = time.perf_counter()
        row, each = study.solve(solve)
        np.savez_compressed(RUNS / f"{solve.key}.npz", **each)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{number}/{len(wanted)} {solve.key}: {row['steps']} steps, decrement {row['decrement']:.1e}, "
              f"NMAE {row['inner']['nmae']:.3g}%, {time.perf_counter() - begun:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

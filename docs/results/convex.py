"""Losses against each other without a network: each loss's one optimum over densities that are affine in coefficients.

python docs/results/convex.py                        every solve that is not finished, most wanted first
python docs/results/convex.py --only "25 0" "10 "    those whose key begins so: training samples, fold, objective
python docs/results/convex.py blindness              the Hessians, from the finished solves of fold 0
python docs/results/convex.py cost                   time and memory of one evaluation of each loss; for the memory,
                                                     MALLOC_MMAP_THRESHOLD_=65536, so that what is freed is given back
python docs/results/convex.py table                  what is there, into convex.md and its figures

Each finished solve is a line of convex.jsonl; its errors by sample, which the intervals need, are in the folder of
runs, and what they say is kept in convex.json. A solve without these, as on another machine, is made again, and its
line replaces the old one. Several of these commands may run at once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import convex_measure
import convex_page as page
import convex_text
import numpy as np
import torch
from convex_study import BLURS, FOLDS, SINGLE, TESTS, Study, parts, short, solves
from pages import ROOT, keep, put, record, records, summary

from edframe.metrics.summary import summarise

RESULTS = Path(__file__).with_suffix(".jsonl")
SUMMARY, PAGE = RESULTS.with_suffix(".json"), RESULTS.with_suffix(".md")
RUNS, FIGURES = ROOT / "runs" / "convex", ROOT / "docs" / "figures"


def rows() -> list[dict[str, Any]]:
    """The finished solves; one that two commands have finished is there once."""
    return list({row["key"]: row for row in records(RESULTS)}.values())


def effects_of(study: Study) -> list[dict[str, Any]]:
    """Every loss minus l1 on the same test samples, by size, test and metric: the mean over the folds that have both,
    its 95% interval over groups of test samples, and whether the folds have one sign."""
    files = {row["key"]: RUNS / f"{row['key']}.npz" for row in rows() if len(row["losses"]) == 1}
    stored = {key: np.load(file) for key, file in files.items() if file.exists()}
    labels, every = np.asarray(study.dataset.groups), []
    for size in sorted({row["size"] for row in rows()}):
        for name in page.COLOURS:
            keys = {fold: f"{size or 'all'} {fold} " for fold in range(FOLDS)}
            folds = [fold for fold, key in keys.items() if {key + "l1", key + name} <= set(stored)]
            if name == "l1" or not folds:
                continue
            for place, test in enumerate(TESTS, 1):
                groups = np.concatenate([labels[parts(study.dataset, size, fold)[place]] for fold in folds])
                for metric in page.METRICS:
                    base = [stored[keys[fold] + "l1"][f"{test} {metric}"] for fold in folds]
                    less = [
                        stored[keys[fold] + name][f"{test} {metric}"] - b for fold, b in zip(folds, base, strict=True)
                    ]
                    mean = summarise(np.concatenate(less), groups.tolist(), resamples=1999)
                    signs = {float(np.sign(part.mean())) for part in less}
                    every.append({
                        "size": size, "test": test, "loss": name, "metric": metric, "folds": len(folds),
                        "l1": short(float(np.mean(np.concatenate(base)))), "difference": short(mean.mean),
                        "low": short(mean.low), "high": short(mean.high), "one_sign": len(signs) == 1,
                    })  # fmt: skip
    return every


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
    done, known = rows(), summary(SUMMARY)
    for test, called in page.TESTS.items():
        parts = []
        for size in page.counts(done):
            head = f"#### {size or 'all'} training samples, tested on {called}\n\n"
            parts.append(head + page.means(done, size, test) + "\n" + page.effects(known["effects"], size, test))
        put(PAGE, test, "\n".join(parts))
    tables = (page.sizes(done, metric, test) for metric in ("nmae", "w2", "dipole_error") for test in TESTS)
    heads = [f"Tested on {called}:" for _ in range(3) for called in page.TESTS.values()]
    put(PAGE, "sizes", "\n".join(f"{h}\n\n{t}" for h, t in zip(heads, tables, strict=True)))
    put(PAGE, "known", convex_text.known(done, known["effects"]))
    put(PAGE, "unsolved", convex_text.unsolved(done, solves()))
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
        keep(SUMMARY, blindness=blindness(study))
    elif options.what == "cost":
        keep(SUMMARY, cost=convex_measure.evaluations(study.loss, SINGLE))
    elif options.what == "table":
        if RUNS.is_dir() and (new := effects_of(study)):
            keep(SUMMARY, effects=new)
        write()
    else:
        carry_out(study, tuple(options.only))


def carry_out(study: Study, only: tuple[str, ...]) -> None:
    """The solves whose keys begin so and that are not finished, each a row as soon as it is."""
    wanted = [solve for solve in solves() if solve.key.startswith(only)]
    RUNS.mkdir(parents=True, exist_ok=True)
    for number, solve in enumerate(wanted, 1):
        if solve.key in {row["key"] for row in rows()} and (RUNS / f"{solve.key}.npz").exists():
            continue
        begun = time.perf_counter()
        row, each = study.solve(solve)
        np.savez_compressed(RUNS / f"{solve.key}.npz", **each)
        record(RESULTS, row)
        print(f"{number}/{len(wanted)} {solve.key}: {row['steps']} steps, decrement {row['decrement']:.1e}, "
              f"NMAE {row['inner']['nmae']:.3g}%, {time.perf_counter() - begun:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

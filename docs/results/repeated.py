"""Runs and solves of the studies of losses made again from nothing, and how far their numbers are from those committed.

    python docs/results/repeated.py plane 2 "atoms, 25; l1; 0" "atoms, 25; l1 + 30 sinkhorn; 0"
    python docs/results/repeated.py convex 2 "25 0 l1" "25 0 sinkhorn 0.15"

The number is that of threads; the committed rows are of one. Nothing is written.
"""

from __future__ import annotations

import sys
from typing import Any

import convex
import plane
import torch
from convex_study import TESTS, Study, solves
from plane_study import carry_out, planned, recipe

from edframe.contract.registry import Registry


def again(study: str, keys: list[str]) -> dict[str, dict[str, Any]]:
    """The rows of these keys, made again."""
    if study == "convex":
        solver = Study()
        return {solve.key: solver.solve(solve)[0] for solve in solves() if solve.key in keys}
    asked, registry = recipe(), Registry.discover()
    return {plan.key: carry_out(plan, asked, registry)[0] for plan in planned(asked) if plan.key in keys}


def main(study: str, threads: str, keys: list[str]) -> None:
    torch.set_num_threads(int(threads))
    kept = {row["key"]: row for row in {"convex": convex, "plane": plane}[study].rows()}
    if unknown := set(keys) - kept.keys():
        sys.exit(f"no row of {study} is called {', '.join(sorted(unknown))}")
    for key, row in again(study, keys).items():
        for test in TESTS:
            for metric, value in row[test].items():
                old = kept[key][test][metric]
                print(
                    f"{key} | {test} | {metric} | {old} | {value} | {abs(value - old) / abs(old or 1):.1e}", flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

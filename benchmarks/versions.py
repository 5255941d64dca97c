"""This version of edframe-sinkhorn against an earlier one, in turn in one process: CPU time on one thread.

    git worktree add ../earlier REVISION
    python benchmarks/versions.py ../earlier/plugins/edframe-sinkhorn/src [--sizes 16 32] [--problems mol near far sad]

The earlier package is imported under another name, from a copy. Value and gradient by the first density, cold. The
table has the least milliseconds of either, the median of their ratios, and how far the values and gradients differ.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import print_table
from peers import gradient_errors
from problems import PROBLEMS

NAME = "edframe_sinkhorn"
EARLIER = f"{NAME}_earlier"
CASES = ((1, 1e-4), (2, 1e-4), (1, 1e-3))
"""Blur in voxels, tolerance."""


def earlier_version(source: Path, folder: Path) -> Callable[..., Any]:
    """The function of the package in ``source``, imported from a renamed copy in ``folder``."""
    package = folder / EARLIER
    package.mkdir()
    for file in (source / NAME).glob("*.py"):
        (package / file.name).write_text(file.read_text().replace(NAME, EARLIER))
    sys.path.insert(0, str(folder))
    function: Callable[..., Any] = importlib.import_module(EARLIER).sinkhorn_divergence
    return function


def cpu_time(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder that holds the earlier package")
    parser.add_argument("--sizes", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=["mol", "near", "far", "sad"])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    now = importlib.import_module(NAME).sinkhorn_divergence
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        before = earlier_version(options.source, Path(folder))
        for n in options.sizes:
            for name in options.problems:
                problem = PROBLEMS[name](n)
                a, b = (torch.from_numpy(density)[None] for density in (problem.a, problem.b))
                for voxels, tol in CASES:
                    blur = voxels * problem.voxel
                    calls = [
                        partial(version, a, b, problem.grid, blur, tol=tol, reference_gradient=False)
                        for version in (before, now)
                    ]
                    theirs, ours = (call() for call in calls)
                    pairs = [tuple(map(cpu_time, calls)) for _ in range(options.rounds)]
                    change = gradient_errors(ours.potential[0].numpy(), theirs.potential[0].numpy(), problem.b)[0]
                    rows.append(
                        (
                            *(name, n, voxels, f"{tol:g}"),
                            *(f"{1e3 * min(times):.1f} ms" for times in zip(*pairs, strict=True)),
                            f"{statistics.median(first / second for first, second in pairs):.2f}",
                            f"{abs(ours.value.item() / theirs.value.item() - 1):.0e}",
                            f"{change:.0e}",
                        )
                    )
    print_table(("problem", "n", "blur / voxel", "tol", "earlier", "now", "ratio", "values", "gradients"), rows)


if __name__ == "__main__":
    main()

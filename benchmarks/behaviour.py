"""The sections ``memory``, ``hard`` and ``batch``: edframe's solver by itself, and on a device beside its peers."""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np
import torch
from comparison import TOLERANCE, warmed_up
from measuring import Results, Row, duration, peak_bytes, print_table, timed
from peers import SOLVERS, Unsupported, divergence
from problems import Problem, hard_cases, mol
from torch import Tensor

from edframe.grid import Grid


def stacked(problems: list[Problem], device: str) -> tuple[Tensor, Tensor, Grid]:
    """Densities ``[b, x, y, z]`` of problems on one grid."""
    a, b = (torch.from_numpy(np.stack([getattr(p, which) for p in problems])).to(device) for which in "ab")
    return a, b, problems[0].grid


def measure_memory(results: Results, options: argparse.Namespace) -> None:
    """Peak of one call after a small one."""
    n = 16 if options.quick else 64
    a, b, grid = stacked([mol(16)], options.device)
    divergence(a, b, grid, None, TOLERANCE)
    for batch in (1, 4):
        if results.find(section="memory", n=n, batch=batch, device=options.device):
            continue
        a, b, grid = stacked([mol(n, seed) for seed in range(batch)], options.device)
        size, _ = peak_bytes(lambda a=a, b=b, grid=grid: divergence(a, b, grid, None, TOLERANCE), options.device)
        per_sample = size / (torch.float64.itemsize * grid.points * batch)
        results.add(section="memory", device=options.device, n=n, batch=batch, bytes=size, memory=per_sample)


def print_memory(results: Results) -> None:
    print("\nPeak of one call on `mol`, value and gradient, inputs not counted.\n")
    print_table(
        ("n", "batch", "peak / MiB", "float64 densities per sample"),
        (
            (row["n"], row["batch"], f"{row['bytes'] / 2**20:.1f}", f"{row['memory']:.1f}")
            for row in results.find(section="memory")
        ),
    )


def measure_hard(results: Results, options: argparse.Namespace) -> None:
    """One row per case, also for one that fails."""
    for case in hard_cases(16, 16) if options.quick else hard_cases(32, 64):
        if results.find(section="hard", case=case.name):
            continue
        a, b = (torch.from_numpy(density)[None].to(options.device) for density in (case.a, case.b))
        row: Row = {"section": "hard", "case": case.name}
        try:
            result = divergence(a, b, case.grid, case.voxel, TOLERANCE)
        except Exception as error:  # whatever breaks it belongs into the table
            results.add(**row, error=f"{type(error).__name__}: {error}")
            continue
        finite = bool(result.value.isfinite().all() and result.gradient.isfinite().all())
        # The gradient is by the density, so it grows as the mass shrinks; this has the unit of a potential, Å².
        slope = float(result.gradient.abs().amax() * a.double().sum())
        held = finite and result.marginal_error.item() <= TOLERANCE and result.value.item() >= -1e-12
        if case.name == "equal densities":
            held = held and abs(result.value.item()) <= 1e-10 and slope <= 1e-10
        results.add(
            **row,
            value=result.value.item(),
            slope=slope,
            finite=finite,
            marginal_error=result.marginal_error.item(),
            domain=result.domain,
            iterations=int(result.iterations),
            holds=held,
        )


def print_hard(results: Results) -> None:
    print(f"\nTolerance {TOLERANCE:g}, blur of one voxel, periodic; 32³ (a smoke run: 16³) unless said otherwise.\n")
    table = []
    for row in results.find(section="hard"):
        if "error" in row:
            table.append((row["case"], row["error"], *["–"] * 5, "no"))
            continue
        table.append(
            (
                row["case"],
                f"{row['value']:.6g}",
                f"{row['slope']:.3g}" if row["finite"] else "not finite",
                "yes" if row["finite"] else "no",
                f"{row['marginal_error']:.1e}",
                row["domain"],
                row["iterations"],
                "yes" if row["holds"] else "no",
            )
        )
    header = ("case", "S / Å²", "max gradient × mass / Å²", "finite", "marginal error", "domain", "iterations", "holds")
    print_table(header, table)


def measure_batch(results: Results, options: argparse.Namespace) -> None:
    """Cold and warm, batches of 1 and 16, and the peers on a single sample, all in turn."""
    sizes = options.sizes if options.quick else (32, 64, 128) if options.device == "cuda" else (32, 64)
    for n in sizes:
        for batch in (1, 4) if options.quick else (1, 16):
            cell = {"section": "batch", "n": n, "batch": batch, "device": options.device, "threads": options.threads}
            if not results.find(**cell):
                measure_starts(results, cell, options)


def measure_starts(results: Results, cell: Row, options: argparse.Namespace) -> None:
    """One row per solver and kind of start."""
    problems = [mol(cell["n"], seed) for seed in range(cell["batch"])]
    a, b, grid = stacked(problems, options.device)
    start = divergence(a, b, grid, None, TOLERANCE).start
    moved = a * (1 + 0.01 * torch.randn(a.shape, generator=torch.Generator().manual_seed(5), dtype=a.dtype).to(a))
    calls = {
        ("edframe", "cold"): lambda: divergence(a, b, grid, None, TOLERANCE),
        ("edframe", "warm"): lambda: divergence(moved, b, grid, None, TOLERANCE, start),
    }
    for key in options.only if cell["batch"] == 1 else ():
        if key != "edframe" and not SOLVERS[key].once:
            try:
                calls[key, "cold"] = warmed_up(key, problems[0], problems[0].voxel, options.device)[0].solve
            except Unsupported as reason:
                print(f"{SOLVERS[key].name}, mol {cell['n']}³ on {options.device}: left out, {reason}")
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in calls}
    answers: dict[tuple[str, str], Any] = {}
    for turn in range(options.rounds + 1):
        for name, call in calls.items():
            elapsed, answers[name] = timed(call)
            if turn:  # the first is a warm-up
                seconds[name].append(elapsed)
    for (key, kind), measured in seconds.items():
        ours = answers[key, kind] if key == "edframe" else None
        results.add(
            **cell,
            solver=key,
            start=kind,
            seconds=statistics.median(measured),
            iterations=int(ours.iterations.max()) if ours else None,
            converged=bool((ours.marginal_error <= TOLERANCE).all()) if ours else None,
        )


def print_batch(results: Results) -> None:
    print("\n`mol`, blur of one voxel. Warm: the prediction's values moved by 1%, the reference is known.\n")
    print_table(
        ("device", "n", "batch", "solver", "start", "median", "per sample", "iterations", "converged"),
        (
            (
                row["device"],
                row["n"],
                row["batch"],
                SOLVERS[row["solver"]].name,
                row["start"],
                duration(row["seconds"]),
                duration(row["seconds"] / row["batch"]),
                "–" if row["iterations"] is None else row["iterations"],
                {True: "yes", False: "no", None: "–"}[row["converged"]],
            )
            for row in results.find(section="batch")
        ),
    )

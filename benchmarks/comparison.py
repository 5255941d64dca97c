"""The sections ``solvers`` and ``goals``: all solvers on the same densities, in turn, and what was demanded of them."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable

from converged import cached
from measuring import Results, Row, duration, peak_bytes, print_table, timed
from peers import SOLVERS, Prepared, Unsupported, gradient_errors
from problems import PROBLEMS, Problem, mol

TOLERANCE = 1e-4
"""Marginal error that every solver stops at which has a choice."""

BLURS = (1, 2)
"""In voxels."""

FAR_FROM = 64
"""The problem ``far`` is a case of 64³ (and of the smoke run)."""


def measure_solvers(results: Results, options: argparse.Namespace) -> None:
    """Every solver on every problem; one cell is one problem, size and blur."""
    for n in options.sizes:
        for name in options.problems:
            if name == "far" and n < FAR_FROM and not options.quick:
                continue
            for voxels in BLURS:
                cell = {"section": "solvers", "problem": name, "n": n, "blur": voxels}
                cell |= {"threads": options.threads, "device": options.device}
                wanted = [
                    key
                    for key in options.only
                    if n <= SOLVERS[key].largest
                    and not (SOLVERS[key].once and (name != "mol" or voxels > 1))
                    and not results.find(**cell, solver=key)
                ]
                if wanted:
                    measure_cell(results, cell, PROBLEMS[name](n), wanted, options)


def measure_cell(results: Results, cell: Row, problem: Problem, wanted: list[str], options: argparse.Namespace) -> None:
    """Time ``wanted`` and edframe in turn, and note a row for each."""
    blur = cell["blur"] * problem.voxel
    exact = cached(problem, blur, options.cache)
    ready: dict[str, Prepared] = {}
    memory: dict[str, float | None] = {}
    for key in dict.fromkeys(["edframe", *wanted]):
        try:
            ready[key], size = warmed_up(key, problem, blur, options.device)
            memory[key] = size / (8 * problem.grid.points) if size else None
        except Unsupported as reason:
            print(f"{SOLVERS[key].name}, {cell['problem']} {cell['n']}³, blur {cell['blur']}: left out, {reason}")
            results.add(**cell, solver=key, unsupported=str(reason))
    seconds: dict[str, list[float]] = {key: [] for key in ready}
    answers = {}
    for turn in range(options.rounds):
        for key, prepared in ready.items():
            if turn == 0 or not SOLVERS[key].once:
                elapsed, result = timed(prepared.solve)
                seconds[key].append(elapsed)
                answers[key] = prepared.read(result)
    for key, answer in answers.items():
        if key not in wanted:
            continue
        weighted, largest = gradient_errors(answer.potential, exact.potential, problem.b)
        ours = seconds["edframe"]
        if SOLVERS[key].once:  # one turn of ours would say little
            ours = [statistics.median(ours)]
        ratios = [theirs / mine for theirs, mine in zip(seconds[key], ours, strict=True)]
        results.add(
            **cell,
            solver=key,
            seconds=statistics.median(seconds[key]),
            fastest=min(seconds[key]),
            slowest=max(seconds[key]),
            rounds=len(seconds[key]),
            ratio=statistics.median(ratios),
            value=answer.value,
            value_error=abs(answer.value - exact.value) / abs(exact.value),
            gradient_error=weighted,
            gradient_error_largest=largest,
            iterations=answer.iterations,
            converged=answer.converged,
            memory=memory[key],
        )


def warmed_up(key: str, problem: Problem, blur: float, device: str) -> tuple[Prepared, int | None]:
    """A solver after its first call, and the bytes that took; one that is timed only once has solved 16³ instead."""
    solver = SOLVERS[key]
    if solver.once:
        small = mol(16)
        solver.prepare(small, small.voxel, TOLERANCE, device).solve()
        return solver.prepare(problem, blur, TOLERANCE, device), None
    prepared = solver.prepare(problem, blur, TOLERANCE, device)
    size, _ = peak_bytes(prepared.solve, device)
    return prepared, prepared.peak_bytes or size


def print_solvers(results: Results) -> None:
    print(
        "\nS is in Å² per electron. Gradients are f_ab − f_aa less their constant: L² weighted by the reference's "
        "mass, and the maximum norm.\n"
    )
    header = (
        *("problem", "n", "blur / voxel", "solver", "threads", "median", "ratio", "error of S"),
        *("error of gradient", "same, max.", "iterations", "converged", "memory / densities"),
    )
    print_table(
        header,
        (
            (
                row["problem"],
                row["n"],
                row["blur"],
                SOLVERS[row["solver"]].name,
                row["threads"],
                duration(row["seconds"]),
                f"{row['ratio']:.3g}",
                f"{row['value_error']:.1e}",
                f"{row['gradient_error']:.1e}",
                f"{row['gradient_error_largest']:.1e}",
                row["iterations"],
                {True: "yes", False: "no", None: "–"}[row["converged"]],
                "–" if row["memory"] is None else f"{row['memory']:.1f}",
            )
            for row in sorted(results.find(section="solvers"), key=lambda row: (row["n"], row["problem"], row["blur"]))
            if "seconds" in row
        ),
    )


def print_goals(results: Results) -> None:
    """A goal holds when it holds for every problem, size and number of threads that was measured."""
    rows = [row for row in results.find(section="solvers") if "seconds" in row]
    table = []

    def judge(goal: str, measured: Iterable[tuple[float, Row]], bound: float, least: bool) -> None:
        """``least``: the measured values must reach the bound, else they must stay within it."""
        by_value = sorted(measured, key=lambda item: item[0], reverse=not least)
        if not by_value:
            table.append((goal, "not measured", "–", "–"))
            return
        worst, row = by_value[0]
        if row["section"] == "memory":
            where = f"{row['n']}³, batch {row['batch']}"
        else:
            where = f"{row['problem']} {row['n']}³, blur {row['blur']}, threads {row['threads']}"
        held = sum(value >= bound if least else value <= bound for value, _ in by_value)
        verdict = "holds" if held == len(by_value) else f"fails in {len(by_value) - held} of {len(by_value)}"
        table.append((goal, verdict, f"{worst:.3g}", where))

    for solver, n, blur, bound in (
        ("ott", 64, 1, 15),
        ("ott", 64, 2, 10),
        ("ott", 32, 1, 10),
        ("ott", 32, 2, 10),
        ("geomloss-image", 64, 1, 15),
        ("geomloss-samples", 32, 1, 600),
    ):
        chosen = [r for r in rows if (r["solver"], r["n"], r["blur"]) == (solver, n, blur)]
        goal = f"{solver}, {n}³, blur {blur}: at least {bound} times faster"
        judge(goal, ((row["ratio"], row) for row in chosen), bound, least=True)
    times_better = []
    for row in rows:
        if row["solver"] == "geomloss-samples":
            same = {key: row[key] for key in ("section", "problem", "n", "blur", "threads", "device")}
            (ours,) = results.find(**same, solver="edframe")
            times_better.append((row["value_error"] / ours["value_error"], row))
    judge("error of S at least 100 times below that of geomloss-samples", times_better, 100, least=True)
    ours = [row for row in rows if row["solver"] == "edframe" and row["n"] >= 32]
    judge("error of S at most 2e-5", ((row["value_error"], row) for row in ours), 2e-5, least=False)
    judge("error of the gradient at most 1%", ((row["gradient_error"], row) for row in ours), 0.01, least=False)
    memory = results.find(section="memory")
    judge("memory at most 12 densities per sample", ((row["memory"], row) for row in memory), 12, least=False)
    print()
    print_table(("goal", "verdict", "worst", "where"), table)

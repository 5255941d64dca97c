"""The first two paragraphs of ``convex.md``: what is known, with its numbers, and what has not been solved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convex_page import FRONT, TESTS, complete, front, interval
from convex_study import FOLDS, TRANSPORT, WEIGHTS, Solve

Row = Mapping[str, Any]

GAINS = {
    "dipole_error": "the dipole", "basin_error": "the electrons of each atom", "w2": "W₂",
    "low_density_nmae": "the low density",
}  # fmt: skip
PRICES = {"nmae": "the NMAE", "coulomb_error": "the electrostatic energy of the error"}

COULOMB = ("dipole_error", "coulomb_error", "w2", "low_density_nmae")
KNOWN = """**What is now known.** Where every loss reaches its optimum, transport does what it promises, and has a
price. Errors of the optimum of `sinkhorn` (blur 0.15 Å) minus those of l1 on the same training samples, in % of the
latter, with 95% intervals:"""


def known(rows: Sequence[Row], every: Sequence[Row]) -> str:
    """What transport and ``coulomb`` change, by training samples, and what a little of transport does."""
    by = {(e["size"], e["test"], e["loss"], e["metric"]): e for e in every}

    def listed(size: int, test: str, loss: str, names: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {interval(by[size, test, loss, metric], unit='%')}" for metric, name in names.items())

    sizes = sorted({e["size"] for e in every if e["loss"] == TRANSPORT and e["size"] != 10}, key=lambda n: n or 10**6)
    parts = [KNOWN, ""]
    for size in sizes:
        for test, called in TESTS.items():
            folds = by[size, test, TRANSPORT, "nmae"]["folds"]
            parts.append(
                f"- {size or 'all'} training samples, tested on {called} ({_folds(folds)}): "
                f"{listed(size, test, TRANSPORT, GAINS)}; {listed(size, test, TRANSPORT, PRICES)};"
            )
    parts[-1] = parts[-1][:-1] + "."
    coulomb = {size: by[size, "inner", "coulomb", "w2"] for size in sizes}
    parts += [
        "",
        f"{_little(rows)} `coulomb`, the cousin, is not a substitute: "
        + "; ".join(
            f"with {size or 'all'} samples "
            + listed(size, "inner", "coulomb", {name: (GAINS | PRICES)[name] for name in COULOMB})
            for size in coulomb
        )
        + ".",
    ]
    return "\n".join(parts) + "\n"


def _little(rows: Sequence[Row]) -> str:
    """How much of the way from l1 to transport the mixes with little of it go."""
    folds = complete(rows)
    points = {share: metrics["inner"] for share, metrics in front(rows, "l1", folds)}

    def way(share: float, metric: str) -> str:
        start, end = points[0.0][metric], points[1.0][metric]
        return f"{100 * (points[share][metric] - start) / (end - start):.0f}%"

    mixes = [
        f"a mix of {called} goes {way(share, 'w2')} in W₂ and {way(share, 'dipole_error')} in the dipole, and "
        f"{way(share, 'nmae')} in the NMAE"
        for share, called in ((0.1, "9 to 1"), (0.5, "1 to 1"))
        if share in points
    ]
    return f"Of the way from l1 to transport ({FRONT} training samples, {_folds(len(folds))}), {'; '.join(mixes)}."


def unsolved(rows: Sequence[Row], solves: Iterable[Solve]) -> str:
    """What of the solves is not finished, by training samples, and the time of the others."""
    done = {row["key"] for row in rows}
    wanted = list(solves)
    parts = []
    for size in (10, 25, 100, 0):
        for mixed, called in ((False, "losses alone"), (True, f"fronts ({len(WEIGHTS)} weights, two losses)")):
            here = [s for s in wanted if s.size == size and (len(s.terms) > 1 or "≥" in s.name) == mixed]
            missing = [s for s in here if s.key not in done]
            if missing:
                parts.append(f"{len(missing)} of {len(here)} solves of {called} with {size or 'all'} samples")
    minutes = sum(row["seconds"] for row in rows) / 60
    took = f" The {len(done)} finished ones took {minutes:.0f} minutes of one core, without their metrics.\n"
    return (f"Not solved on all {FOLDS} folds: {'; '.join(parts)}." if parts else "Every solve is finished.") + took


def _folds(count: int) -> str:
    return "one fold" if count == 1 else f"{count} folds"

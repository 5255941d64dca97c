"""Tables and figures of the failures and of the learning curve of the model of molecules, for molecules_page.py."""

from __future__ import annotations

from collections.abc import Sequence

import molecules_curve
import molecules_failures
import numpy as np
from numpy.typing import NDArray
from pages import ROOT, head, records

FIGURES = ROOT / "docs" / "figures"
COLOURS = {"ion": "C3", "open shell": "C1", "larger ring": "C0", "larger": "C0"}


def failures() -> str:
    """Errors of molecules of other kinds than those trained on, and what is said of them."""
    text = head("molecule", "kind", "NMAE, %", "expected", "dipole computed, e·Å", "its error", "what is said")
    for row in records(molecules_failures.RESULTS):
        said = [name for name, part in {"charge": "has a charge", "open shell": "an odd number of electrons",
                                        "surroundings": "surroundings"}.items()
                if any(part in sentence for sentence in row["warnings"])]  # fmt: skip
        one = row["whole"]
        dipoles = ["", ""] if row["charge"] else [f"{one['dipoles'][1]:.2f}", f"{one['dipole']:.3f}"]
        text.append(f"| {row['id']} | {row['kind']} | {one['nmae']:.2f} | {row['expected']:.2f} | "
                    f"{' | '.join(dipoles)} | {', '.join(said) or 'nothing'} |")  # fmt: skip
    return "\n".join(text) + "\n"


def points() -> NDArray[np.float64]:
    """Of each fit, ``[n, 4]``: molecules, seed, NMAE in % of QM9 and of the list's test part."""
    rows = records(molecules_curve.RESULTS)
    return np.array([
        [row["molecules"], row["seed"], *(np.mean([both[0] for both in row[of]]) for of in ("qm9", "list"))]
        for row in rows
    ])  # fmt: skip


def power() -> tuple[float, float]:
    """NMAE of QM9 ≈ factor · molecules^exponent, by least squares of logarithms."""
    sizes, _, errors, _ = points().T
    exponent, factor = np.polyfit(np.log(sizes), np.log(errors), 1)
    return float(np.exp(factor)), float(exponent)


def curve() -> str:
    """Errors by the number of training molecules, and what they promise for more."""
    text = head("molecules", "fits", "NMAE, %, QM9, the first 100", "the list, its test part")
    every = points()
    for size in np.unique(every[:, 0]):
        some = every[every[:, 0] == size]
        each = [f" ({', '.join(f'{x:.2f}' for x in some[:, k])})" if len(some) > 1 else "" for k in (2, 3)]
        cells = [f"{some[:, k].mean():.2f}{beside}" for k, beside in zip((2, 3), each, strict=True)]
        text.append(f"| {size:.0f} | {len(some)} | {cells[0]} | {cells[1]} |")
    factor, exponent = power()
    for size in (600, 10_000):
        text.append(f"| {size:,}, extrapolated as n^{exponent:.2f} | | {factor * size**exponent:.2f} | |")
    return "\n".join(text) + "\n"


def drawn(errors: Sequence[float]) -> None:
    """The learning curve, and the failures beside the hundred molecules of QM9, whose NMAE in % are ``errors``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes, every = figure.subplots(), points()
    for column, name, marker in ((2, "QM9, the first 100", "o"), (3, "the list, its test part", "s")):
        axes.plot(every[:, 0], every[:, column], marker, label=f"{name}; one network")
    factor, exponent = power()
    sizes = np.array([40, 10_000])
    axes.plot(sizes, factor * sizes**exponent, "--", color="0.5", lw=1, label=f"∝ n$^{{{exponent:.2f}}}$")
    axes.plot([every[:, 0].max()], [np.mean(errors)], "*", ms=11, color="C0", label="QM9; four networks, as shipped")
    axes.axhline(0.7, color="0.5", lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="molecules trained on", ylabel="NMAE, %")
    axes.set_yticks([0.3, 0.5, 0.7, 1, 2, 3], [0.3, 0.5, 0.7, 1, 2, 3])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(FIGURES / "molecules-curve.png", dpi=110)

    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes, rows = figure.subplots(), records(molecules_failures.RESULTS)
    for place, row in enumerate(rows):
        axes.plot(place, row["whole"]["nmae"], "o", color=COLOURS[row["kind"]], mfc=None if row["warnings"] else "w")
        axes.plot(place, row["expected"], "_", color="k", ms=14)
    low, middle, high = np.min(errors), np.median(errors), np.max(errors)
    axes.axhspan(low, high, color="0.9", zorder=0)
    axes.axhline(middle, color="0.6", lw=0.8, zorder=0)
    axes.set_xticks(range(len(rows)), [row["id"] for row in rows], rotation=45, ha="right")
    axes.set(yscale="log", ylabel="NMAE, %")
    axes.set_yticks([0.5, 1, 2, 5, 10, 20], [0.5, 1, 2, 5, 10, 20])
    axes.minorticks_off()
    figure.savefig(FIGURES / "molecules-failures.png", dpi=110)

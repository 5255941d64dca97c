"""Tables and figure of what local optima are worth to DFT, from the rows of ``convex_energy.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from convex_page import COLOURS, METRICS, TESTS, excludes_zero, interval
from l2_vs_transport_dft import LARGEST
from numpy.typing import NDArray
from pages import head
from plane_page import holm
from scipy import stats

from edframe.metrics.summary import summarise
from edframe.report.numbers import number
from edframe.report.style import GREY, INK, panels, png, styled

Row = Mapping[str, Any]

REFERENCE, NOTHING = "l1", "atoms"
COLOUR = {**COLOURS, "0.9 l1 + 0.1 sinkhorn 0.15": "#a6761d", NOTHING: GREY}
LEAST = 4
"""Structures from which SCF cycles are counted on; fewer say nothing."""
OF_THE_ERROR = ("nmae", "rmse", "coulomb_error", "low_g_error", "w2", "dipole_error", "low_density_nmae")
"""What the energy is compared with, structure by structure."""


def texts(rows: Sequence[Row]) -> dict[str, str]:
    """What stands between the markers of the page, by their names."""
    solved = [row for row in rows if "objective" in row]
    tested, counted = ([row for row in rows if kind in row] for kind in ("energy", "cycles"))
    if len(counted) < LEAST:
        counted = []
    if not tested:
        return {"worth": "", "energies": "Not run yet.\n"}
    parts = []
    for test, called in TESTS.items():
        here = [row for row in tested if row["test"] == test]
        if here:
            started = [row["cycles"] for row in counted if row["test"] == test]
            parts += [f"#### Tested on {called}", "", energies(here, started), metrics(here)]
    parts += ["#### What the energy follows", "", following(tested), "#### What the solves left", "", residuals(solved)]
    return {"worth": worth(tested, [row["cycles"] for row in counted]), "energies": "\n".join(parts)}


def names(rows: Sequence[Row]) -> list[str]:
    """The losses that all rows have, the reference first."""
    return sorted(rows[0]["energy"], key=lambda name: list(COLOUR).index(name))


def absolute(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """|ΔE| in meV per atom, ``[structure]``."""
    return np.abs([row["energy"][name] for row in rows])


def against(rows: Sequence[Row], ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float]:
    """A mean difference of two losses on the same structures, with its 95% interval over groups of structures, and p of
    none by Wilcoxon's test of the groups' means."""
    groups = np.array([row["group"] for row in rows])
    less = ours - theirs
    mean = summarise(less, groups.tolist(), resamples=1999)
    means = [float(less[groups == group].mean()) for group in np.unique(groups)]
    return {
        "l1": float(theirs.mean()), "difference": mean.mean, "low": mean.low, "high": mean.high,
        "p": float(stats.wilcoxon(means).pvalue),
    }  # fmt: skip


def compared(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, float]]:
    """|ΔE| of each loss against l1, by test and loss, with p corrected for all of them."""
    every: dict[tuple[str, str], dict[str, float]] = {}
    for test in TESTS:
        here = [row for row in rows if row["test"] == test]
        for name in names(rows):
            if name not in (REFERENCE, NOTHING) and here:
                every[test, name] = against(here, absolute(here, name), absolute(here, REFERENCE))
    corrected = holm([effect["p"] for effect in every.values()])
    return {key: {**effect, "p": p} for (key, effect), p in zip(every.items(), corrected, strict=True)}


def worth(rows: Sequence[Row], cycles: Sequence[Mapping[str, int]]) -> str:
    """The part of the first paragraph: energies and cycles against l1."""
    every = compared(rows)
    inner, corners = (sum(row["test"] == test for row in rows) for test in TESTS)
    lines = [
        "What it is worth to DFT, in space (10 training samples, one fold): |ΔE| without iterating minus that of l1,",
        f"of {inner} structures of the same kind and {corners} of corners; p is corrected for all {len(every)}:",
        "",
    ]
    for name in names(rows):
        if name in (REFERENCE, NOTHING):
            continue
        said = []
        for test, called in TESTS.items():
            if effect := every.get((test, name)):
                said.append(f"{called} {interval(effect, excludes_zero(effect), '%')}, p {number(effect['p'], 2)}")
        lines.append(f"- `{name}`: {'; '.join(said)};")
    lines[-1] = lines[-1][:-1] + "."
    if cycles:
        mean = {name: float(np.mean([one[name] for one in cycles])) for name in cycles[0]}
        counted = ", ".join(f"{mean[name]:.1f} from {name}" for name in mean if name)
        lines += [
            "",
            f"PySCF converges in {mean['']:.1f} cycles from its own start, {counted} ({len(cycles)} structures).",
        ]
    return "\n".join(lines) + "\n"


def energies(rows: Sequence[Row], cycles: Sequence[Mapping[str, int]]) -> str:
    """The energies and cycles of one test."""
    share = f"in the largest {LARGEST}, % of the sum"
    lines = head("absolute ΔE, meV/atom", "structures", "mean", "median", "0.9 quantile", share, "ΔE > 0, %",
                 "SCF cycles", "minus own start")  # fmt: skip
    for name in names(rows):
        signed = np.array([row["energy"][name] for row in rows])
        values = np.sort(np.abs(signed))
        cells = [number(float(v)) for v in (values.mean(), np.median(values), np.quantile(values, 0.9))]
        cells += [f"{100 * values[-LARGEST:].sum() / values.sum():.0f}", f"{100 * (signed > 0).mean():.0f}"]
        if cycles:
            less = np.array([one[name] - one[""] for one in cycles])
            reach = float(stats.sem(less) * stats.t(len(less) - 1).ppf(0.975)) if len(less) > 1 else float("nan")
            cells.append(f"{np.mean([one[name] for one in cycles]):.1f}")
            cells.append(
                f"{less.mean():.1f} ({less.mean() - reach:.1f} to {less.mean() + reach:.1f})".replace("-", "−")
            )
        else:
            cells += ["–", "–"]
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def metrics(rows: Sequence[Row]) -> str:
    """The metrics of the plane and the energy: the mean of l1, and the differences from it in %."""
    titles = {**METRICS, "energy": "mean energy, meV/atom"}

    def values(name: str, metric: str) -> NDArray[np.float64]:
        if metric == "energy":
            return absolute(rows, name)
        return np.array([row["metrics"][name][metric] for row in rows])

    lines = head("minus l1, % of l1", *titles.values())
    lines.append("| l1 | " + " | ".join(number(float(values(REFERENCE, metric).mean())) for metric in titles) + " |")
    for name in names(rows):
        if name != REFERENCE:
            effects = [against(rows, values(name, metric), values(REFERENCE, metric)) for metric in titles]
            lines.append(f"| {name} | " + " | ".join(interval(e, excludes_zero(e)) for e in effects) + " |")
    return "\n".join(lines) + "\n"


def following(rows: Sequence[Row]) -> str:
    """How well metrics rank |ΔE|: Spearman's coefficient over structures and losses, and within each loss, the mean."""
    learnt = [name for name in names(rows) if name != NOTHING]
    lines = head(
        "Spearman's coefficient with the absolute ΔE",
        *({**METRICS, "rmse": "RMSE, e/Å³"}[metric] for metric in OF_THE_ERROR),
    )
    energy = {name: absolute(rows, name) for name in learnt}
    values = {
        metric: {name: np.array([row["metrics"][name][metric] for row in rows]) for name in learnt}
        for metric in OF_THE_ERROR
    }

    def rank(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float(stats.spearmanr(x, y).statistic)

    joined = np.concatenate(list(energy.values()))
    over = [rank(np.concatenate(list(values[metric].values())), joined) for metric in OF_THE_ERROR]
    within = [float(np.mean([rank(values[m][name], energy[name]) for name in learnt])) for m in OF_THE_ERROR]
    for called, numbers in (("all losses and structures", over), ("structures of one loss, mean over losses", within)):
        lines.append(f"| {called} | " + " | ".join(f"{value:.2f}".replace("-", "−") for value in numbers) + " |")
    return "\n".join(lines) + "\n"


def residuals(rows: Sequence[Row]) -> str:
    """What each solve left, and its time."""
    lines = head("loss", "coefficients", "rest of the objective", "l1: duality gap, %", "Newton steps", "seconds")
    for row in rows:
        rest = row["decrement"] / sum(row["over_z1"].values())
        gap = number(100 * row["gap"], 2) if "gap" in row else "–"
        cells = (row["coefficients"], f"{rest:.0e}", gap, row["steps"], f"{row['seconds']:.0f}")
        lines.append(f"| {row['objective']} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def figure(rows: Sequence[Row]) -> bytes:
    """|ΔE| of each structure by loss, |ΔE| against W₂, and SCF cycles where some are counted."""
    tested = [row for row in rows if "energy" in row]
    started = [row["cycles"] for row in rows if "cycles" in row]
    started = started if len(started) >= LEAST else []
    every = names(tested)
    random = np.random.default_rng(0)
    with styled():
        drawing, (left, middle, *rest) = panels(3 if started else 2, 12 if started else 9, 3.8)
        for place, name in enumerate(every):
            for shift, (test, filled) in zip((-0.18, 0.18), (("inner", True), ("corners", False)), strict=True):
                here = [row for row in tested if row["test"] == test]
                if not here:
                    continue
                values, at = absolute(here, name), place + shift
                left.plot(at + random.uniform(-0.1, 0.1, len(values)), values, "o", color=COLOUR[name], markersize=2.8,
                          markerfacecolor=COLOUR[name] if filled else "none", markeredgewidth=0.6)  # fmt: skip
                left.plot([at - 0.15, at + 0.15], [np.median(values)] * 2, color=INK, linewidth=1.6)
                left.plot([at - 0.15, at + 0.15], [values.mean()] * 2, color=INK, linewidth=1, linestyle=":")
            error = [row["metrics"][name]["w2"] for row in tested]
            middle.plot(error, absolute(tested, name), "o", color=COLOUR[name], markersize=2.8, label=short(name))
        labels = [short(name) for name in every]
        left.set(yscale="log", ylabel="|ΔE|, meV/atom (lines: median, dotted: mean)")
        left.set_xticks(range(len(every)), labels, rotation=30, ha="right")
        middle.set(xscale="log", yscale="log", xlabel=METRICS["w2"], ylabel="|ΔE|, meV/atom")
        middle.legend(fontsize=7.5)
        for right in rest:
            for place, name in enumerate(["", *every]):
                counts = np.array([one[name] for one in started])
                right.plot(place + random.uniform(-0.2, 0.2, len(counts)), counts, "o", markersize=2.8,
                           color=COLOUR.get(name, INK))  # fmt: skip
                right.plot([place - 0.3, place + 0.3], [counts.mean()] * 2, color=INK, linewidth=1.6)
            right.set(ylabel="SCF cycles", ylim=(0, None))
            right.set_xticks(range(len(every) + 1), ["PySCF's own", *labels], rotation=30, ha="right")
        return png(drawing)


def short(name: str) -> str:
    return name.replace("0.9 l1 + 0.1 sinkhorn 0.15", "l1 + S").replace("sinkhorn", "S")

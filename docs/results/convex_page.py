"""Tables and figures of ``convex.md`` from the finished solves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pages import head

from edframe.report.numbers import number
from edframe.report.style import BLUE, GREEN, GREY, INK, ORANGE, panels, png, styled

Row = Mapping[str, Any]

METRICS = {
    "nmae": "NMAE, %", "low_density_nmae": "NMAE where ρ < 0.05, %", "dipole_error": "dipole, e·Å",
    "basin_error": "electrons per atom, e", "w2": "W₂, Å", "coulomb_error": "coulomb, eV/e",
    "low_g_error": "of it below 1 Å⁻¹",
}  # fmt: skip
LABELS = {"l1": (-7, -9), "l2": (-7, -9), "l1, ρ ≥ 0": (7, 5), "l2, ρ ≥ 0": (-7, 4), "sinkhorn 0.15": (-7, -9)}
"""Where names stand beside their optima, in points; others on the right."""
FRONT = 25
"""Training samples of the solves of the fronts."""
TESTS = {"inner": "others of the same kind", "corners": "corners"}
COLOURS = {
    "l1": BLUE, "l2": ORANGE, "coulomb": GREEN, "sinkhorn 0.15": "#7b1e7a", "sinkhorn 0.3": "#b0479f",
    "sinkhorn 0.6": "#d483bd", "sinkhorn 1.2": "#eec2df", "l1, ρ ≥ 0": BLUE, "l2, ρ ≥ 0": ORANGE,
}  # fmt: skip


def single(rows: Iterable[Row], size: int) -> dict[str, list[Row]]:
    """The rows of one loss alone by its name, in the order of ``COLOURS``."""
    mine = [row for row in rows if row["size"] == size]
    return {name: here for name in COLOURS if (here := [row for row in mine if row["objective"] == name])}


def counts(rows: Iterable[Row]) -> list[int]:
    """Numbers of training samples with which losses alone are solved, 0 for all at the end."""
    return sorted({row["size"] for row in rows if len(row["losses"]) == 1}, key=lambda size: size or math.inf)


def means(rows: Sequence[Row], size: int, test: str) -> str:
    """Each loss's optimum by all metrics: means over folds, with what the solve left and what it took."""
    lines = [
        "| loss | folds | " + " | ".join(METRICS.values()) + " | below zero, % of electrons |",
        "|---" * (len(METRICS) + 3) + "|",
    ]
    for name, here in single(rows, size).items():
        cells = [number(float(np.mean([row[test][key] for row in here]))) for key in (*METRICS, "negative")]
        lines.append(f"| {name} | {len(here)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def residuals(rows: Sequence[Row]) -> str:
    """What each solve left, the largest over folds, and its time."""
    lines = [
        "| training samples | loss | rest of the objective | gradient, of that at the start | l1: duality gap, % | "
        "Newton steps | evaluations of the loss | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in sorted({row["size"] for row in rows}, key=lambda size: size or math.inf):
        for name, here in single(rows, size).items():
            rest = max(row["decrement"] / sum(row["over_z1"].values()) for row in here)
            gap = number(100 * max(row["gap"] for row in here), 2) if "gap" in here[0] else "–"
            mean = [float(np.mean([row[key] for row in here])) for key in ("steps", "evaluations", "seconds")]
            lines.append(
                f"| {size or 'all'} | {name} | {rest:.0e} | {max(row['gradient'] for row in here):.0e} | {gap} | "
                f"{mean[0]:.0f} | {mean[1]:.0f} | {number(mean[2], 2)} |"
            )
    return "\n".join(lines) + "\n"


def effects(every: Sequence[Mapping[str, Any]], size: int, test: str) -> str:
    """Differences from l1 in % with their intervals; bold where they exclude zero and all folds have one sign."""
    here = {(e["loss"], e["metric"]): e for e in every if e["size"] == size and e["test"] == test}
    lines = head("minus l1, % of l1", "folds", *METRICS.values())
    for name in dict.fromkeys(name for name, _ in here):
        claimed = {metric: here[name, metric]["one_sign"] and excludes_zero(here[name, metric]) for metric in METRICS}
        cells = [interval(here[name, metric], claimed[metric]) for metric in METRICS]
        lines.append(f"| {name} | {here[name, 'nmae']['folds']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def percent(effect: Row) -> tuple[float, float, float]:
    """The difference and the ends of its interval in % of l1."""
    difference, low, high = (100 * effect[key] / effect["l1"] for key in ("difference", "low", "high"))
    return difference, low, high


def interval(effect: Row, bold: bool = False, unit: str = "") -> str:
    """A difference in % of l1, with its interval."""
    difference, low, high = (f"{value:+.0f}".replace("-", "−") for value in percent(effect))
    return f"{f'**{difference}**' if bold else difference}{unit} ({low} to {high})"


def excludes_zero(effect: Row) -> bool:
    """Whether the interval of a difference does."""
    return bool(effect["low"] * effect["high"] > 0)


def sizes(rows: Sequence[Row], metric: str, test: str) -> str:
    """A metric against the number of training samples."""
    columns = counts(rows)
    lines = head(METRICS[metric], *(f"{size or 'all'}" for size in columns))
    for name in COLOURS:
        cells = [_spread([row[test][metric] for row in single(rows, size).get(name, [])]) for size in columns]
        if any(cell != "–" for cell in cells[:1] + cells[2:]) or len(cells) == 1:
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    """The mean, and the least and largest of the folds."""
    if len(values) < 2:
        return f"{number(values[0])} (one fold)" if values else "–"
    return f"{number(float(np.mean(values)))} ({number(min(values))} to {number(max(values))})"


def front(rows: Sequence[Row], first: str, folds: Sequence[int]) -> list[tuple[float, Row]]:
    """(weight of the second loss, means over folds of the metrics) from ``first`` to transport."""
    points = []
    by_share: dict[float, list[Row]] = {}
    for row in rows:
        if row["size"] != FRONT or row["fold"] not in folds:
            continue
        share = _share(row["objective"], first)
        if share is not None:
            by_share.setdefault(share, []).append(row)
    for share, here in sorted(by_share.items()):
        if len(here) == len(folds):
            metrics = {
                test: {key: float(np.mean([row[test][key] for row in here])) for key in METRICS} for test in TESTS
            }
            points.append((share, metrics))
    return points


def _share(objective: str, first: str) -> float | None:
    """The weight of ``sinkhorn 0.15`` in a mix with ``first``, held above zero at both ends; None for others."""
    if objective == f"{first}, ρ ≥ 0":
        return 0.0
    if objective == "sinkhorn 0.15":
        return 1.0
    one, plus, other = objective.partition(" + ")
    return float(other.split()[0]) if plus and one.split()[1] == first and other.endswith("sinkhorn 0.15") else None


def complete(rows: Sequence[Row]) -> list[int]:
    """Folds whose fronts of both losses are there in full."""
    shares: dict[int, set[tuple[str, float]]] = {}
    for row in rows:
        for first in ("l1", "l2"):
            if row["size"] == FRONT and (share := _share(row["objective"], first)) is not None:
                shares.setdefault(row["fold"], set()).add((first, share))
    most = max((len(some) for some in shares.values()), default=0)
    return [fold for fold, some in shares.items() if len(some) == most]


def fronts(rows: Sequence[Row]) -> bytes:
    """The fronts from l1 and from l2 to transport in planes of two metrics, the mean over folds and each fold, with the
    optimum of each loss marked."""
    folds = complete(rows)
    here = [row for row in rows if row["fold"] in folds]
    with styled():
        figure, axes = panels(3, 11.5, 4.0)
        planes = (("nmae", "w2"), ("nmae", "coulomb_error"), ("low_density_nmae", "dipole_error"))
        for ax, (x, y) in zip(axes, planes, strict=True):
            for first in ("l1", "l2"):
                for fold in folds:
                    own = [(point["inner"][x], point["inner"][y]) for _, point in front(rows, first, [fold])]
                    ax.plot(*np.array(own).reshape(-1, 2).T, color=COLOURS[first], linewidth=0.6, alpha=0.5, zorder=1)
                points = front(rows, first, folds)
                line = np.array([[point["inner"][x], point["inner"][y]] for _, point in points]).reshape(-1, 2)
                ax.plot(*line.T, color=COLOURS[first], linewidth=1.6, zorder=2)
                for (share, _), at in zip(points, line, strict=True):
                    if 0 < share < 1:
                        ax.plot(*at, "o", color=COLOURS[first], markersize=3 + 3 * share, zorder=3)
            for name, some in single(here, FRONT).items():
                at = [float(np.mean([row["inner"][key] for row in some])) for key in (x, y)]
                held = name.endswith("≥ 0")
                ax.plot(*at, "D", color=COLOURS[name], markersize=6.5, zorder=4, markeredgecolor=INK,
                        markerfacecolor="white" if held else COLOURS[name])  # fmt: skip
                ax.annotate(name.replace("sinkhorn", "S"), at, LABELS.get(name, (7, -3)), textcoords="offset points",
                            fontsize=8, ha="right" if LABELS.get(name, (1, 0))[0] < 0 else "left")  # fmt: skip
            ax.set(xlabel=METRICS[x], ylabel=METRICS[y], xscale="log", yscale="log")
            ax.margins(0.12)
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        return png(figure)


def blindness(result: Mapping[str, Any]) -> bytes:
    """What a wave of the density costs by its length, and what named errors cost, each loss by its own mean."""
    with styled():
        figure, (left, right) = panels(2, 11.5, 4.2)
        lengths = np.array(result["lengths"])
        for name, values in result["waves"].items():
            curve = np.array(values)
            left.plot(lengths, curve / curve[-1], color=COLOURS[name], label=name)
        left.plot(lengths, np.ones_like(lengths), color=BLUE, linestyle="--", label="l1 (no Hessian)")
        left.set(xscale="log", yscale="log", xlabel="length of the wave, Å", ylim=(1e-3, 4),
                 ylabel="cost of the same NMAE, over that of the longest")  # fmt: skip
        left.set_xticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
        left.minorticks_off()
        left.legend(fontsize=7.5)
        names = list(result["modes"])
        table = np.array([[math.log10(cost) for cost in result["costs"][loss]] for loss in result["costs"]]).T
        table -= table[: len(result["named"])].mean(0)
        image = right.imshow(table, cmap="PuOr_r", vmin=-2.5, vmax=2.5, aspect="auto")
        right.set_xticks(range(table.shape[1]), [loss.replace("sinkhorn", "S") for loss in result["costs"]])
        right.set_yticks(range(len(names)), names)
        for (i, j), value in np.ndenumerate(table):
            right.text(j, i, number(10**value, 2), ha="center", va="center", fontsize=7,
                       color="white" if abs(value) > 1.5 else INK)  # fmt: skip
        right.spines[:].set_visible(False)
        figure.colorbar(image, ax=right, label="log₁₀ of cost over the loss's mean", shrink=0.8)
        return png(figure)


def seconds(rows: Sequence[Row], cost: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Error against processor time of the solves of fold 0, and the time of one evaluation of each loss."""
    with styled():
        figure, (left, right) = panels(2, 10, 3.4)
        for name, here in single(rows, 25).items():
            paths = [row["path"] for row in here if "path" in row]
            if paths and not name.endswith("≥ 0"):
                line = np.array(paths[0]).reshape(-1, 2)
                left.plot(line[:, 0], line[:, 1], "o-", color=COLOURS[name], markersize=3, label=name)
        left.set(xscale="log", yscale="log", xlabel="processor seconds", ylabel="NMAE of test samples, %")
        left.set_yticks([1, 1.5, 2, 3], ["1", "1.5", "2", "3"])
        left.minorticks_off()
        left.legend(fontsize=7.5)
        for place, (grid, losses) in enumerate(cost.items()):
            for row, (milliseconds, _) in enumerate(losses.values()):
                right.barh(row + 0.38 * place, milliseconds, 0.36, color=(BLUE, GREY)[place],
                           label=grid if not row else None)  # fmt: skip
            right.set_yticks(np.arange(len(losses)) + 0.19, list(losses))
        right.set(xscale="log", xlabel="ms of one value and gradient of one sample")
        right.legend(fontsize=8)
        return png(figure)


def named_costs(result: Mapping[str, Any]) -> str:
    """The numbers of the figure: ½⟨δ, H δ⟩ of errors with an NMAE of 1%."""
    units = {"l2": "e/Å²", "coulomb": "eV/e"}
    heads = [f"{loss}, {units.get(loss, 'Å²')}" for loss in result["costs"]]
    lines = ["| error | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for i, name in enumerate(result["modes"]):
        lines.append(f"| {name} | " + " | ".join(number(values[i], 2) for values in result["costs"].values()) + " |")
    return "\n".join(lines) + "\n"


def cost_table(cost: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Processor time and memory of one evaluation; in the plane a density has 18 kB, and memory is not measurable."""
    plane, space = cost
    lines = [f"| loss | {plane}, ms | {space}, ms | {space}, MB |", "|---|---|---|---|"]
    for name in cost[plane]:
        cells = [number(value, 2) for value in (cost[plane][name][0], *cost[space][name])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

"""Answers, tables and figures of ``plane.md`` from the finished runs.

More than 300 lines: one function for each marked place of the page, all on the same differences between runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from convex_page import METRICS, TESTS, excludes_zero, interval, percent
from pages import head
from scipy import stats

from edframe.report.numbers import number
from edframe.report.style import BLUE, GREEN, GREY, INK, ORANGE, panels, png, styled

Row = Mapping[str, Any]

WORTH = 10.0
"""% of l1's error: a smaller effect is not worth having."""
LEVEL, POWER = 0.05, 0.8
LOOKS = 2
EXPLORED = ("dipole_error", "w2", "low_density_nmae", "nmae")
LAST = 0.2
"""Share of a training of which the change of the validation loss is told."""
COLOURS = {
    "l1": BLUE, "l2": ORANGE, "huber": GREY, "coulomb": GREEN, "energy": "#56b4e9", "sinkhorn": "#7b1e7a",
    "sinkhorn, blur 0.3": "#b0479f", "l1 + 10 sinkhorn": "#d9a441", "l1 + 30 sinkhorn": "#a6761d",
    "l1 + 100 sinkhorn": "#66480f",
}  # fmt: skip


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected so that the chance of any false claim among them is bounded: Holm, Scand. J. Stat. 6, 65
    (1979)."""
    order = np.argsort(values)
    scaled = np.asarray(values)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]


def detectable(spread: float, pairs: int, questions: int) -> float:
    """The smallest effect that so many pairs, whose differences have this standard deviation, show with a power of 0.8
    when the level of 0.05 is divided by the number of questions, in the unit of ``spread``."""
    student = stats.t(pairs - 1)
    return float((student.ppf(1 - LEVEL / questions / 2) + student.ppf(POWER)) * spread / np.sqrt(pairs))


def texts(
    recipe: Mapping[str, Any],
    rows: Sequence[Row],
    effects: Sequence[Row],
    first: Sequence[Row],
    cost: Mapping[str, Row],
) -> dict[str, str]:
    """What stands between the markers of the page, by their names. first: the effects of the first look. cost: of a
    step, by loss."""
    every = looks(recipe, effects, first)
    return {
        "known": known(recipe, effects, every),
        "open": unfinished(recipe, rows),
        "answers": answers(every),
        "tables": tables(recipe, rows, effects),
        "trained": trained(rows),
        "seconds": taken(rows),
        "power": power(recipe),
        "cost": cost_table(cost),
    }


@dataclass(frozen=True)
class Look:
    """A question at one look, 1 or 2; effect: None where two pairs are not finished; p: corrected."""

    question: Row
    number: int
    effect: Row | None
    p: float

    @property
    def answer(self) -> str:
        """In words."""
        return "open: not run" if self.effect is None else answer(self.effect, self.p)


def looks(recipe: Mapping[str, Any], effects: Sequence[Row], first: Sequence[Row]) -> list[Look]:
    """Each question at the first look, and those that are asked again, of all pairs, at the second: corrected for the
    questions of the look, one that is not answered yet with p = 1, and for the number of looks."""
    again = [question for question in recipe["questions"] if question.get("again")]
    every = []
    for number_, questions, known_ in ((1, recipe["questions"], first), (2, again, effects)):
        answered = [_effect(question, known_) for question in questions]
        if number_ == 2:  # there is no second look before all of its pairs are there
            answered = [e if e and e["pairs"] >= pairs_of(recipe, e) else None for e in answered]
        values = holm([effect["p"] if effect else 1.0 for effect in answered])
        every += [
            Look(question, number_, effect, min(1.0, recipe["looks"]["count"] * p))
            for question, effect, p in zip(questions, answered, values, strict=True)
        ]
    return every


def pairs_of(recipe: Mapping[str, Any], asked: Row) -> int:
    """How many pairs are planned of a condition and a loss."""
    return max(
        part["seeds"] for part in recipe["runs"]
        if asked["condition"] in part["conditions"] and asked["loss"] in part["losses"]
    )  # fmt: skip


def _effect(question: Row, effects: Sequence[Row]) -> Row | None:
    keys = ("condition", "loss", "test", "metric")
    return next((effect for effect in effects if all(effect[key] == question[key] for key in keys)), None)


def known(recipe: Mapping[str, Any], effects: Sequence[Row], every: Sequence[Look]) -> str:
    """The first paragraph: the answers in words, a line for each start, and beside them what the mix costs."""
    clauses: dict[str, list[str]] = {}
    for question in recipe["questions"]:
        look = [look for look in every if look.question == question and look.effect][-1:]
        effect = _effect(question, effects)
        if not look or effect is None:
            continue
        metric = METRICS[question["metric"]].split(",")[0]
        where = " on corners" if question["test"] == "corners" else ""
        said = f"{metric}{where} {_with_interval(effect)}, {look[0].answer} (p {number(look[0].p, 2)})"
        clauses.setdefault(question["condition"], []).append(said)
    mix = recipe["questions"][0]["loss"]
    lines = [
        f"**What is now known.** Networks trained by `{mix}` and by `l1` on the same samples, from the same weights",
        "with the same batches: the difference of all pairs in % of l1, with 95% intervals; p of the look that gave",
        "the answer, corrected for all questions and for two looks.",
        "",
    ]
    for condition, said in clauses.items():
        (price,) = [
            e for e in effects
            if (e["condition"], e["loss"], e["metric"], e["test"]) == (condition, mix, "nmae", "inner")
        ]  # fmt: skip
        start = f"- From {condition} training samples ({price['pairs']} pairs)"
        lines.append(f"{start}: {'; '.join(said)}. Its price, not asked before: NMAE {_with_interval(price)}.")
    for condition in recipe["conditions"]:
        inner = [e for e in effects if (e["condition"], e["loss"], e["test"]) == (condition, mix, "inner")]
        if inner and condition not in clauses:
            by = {e["metric"]: e for e in inner}
            said = [f"{METRICS[key].split(',')[0]} {_with_interval(by[key])}" for key in EXPLORED]
            lines.append(
                f"- Exploratory, from {condition} training samples ({inner[0]['pairs']} pairs): {'; '.join(said)}."
            )
    return "\n".join(lines) + "\n"


def unfinished(recipe: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Which runs of the recipe are not finished."""
    wanted: dict[str, dict[str, int]] = {}
    for part in recipe["runs"]:
        for condition in part["conditions"]:
            wanted.setdefault(condition, {}).update(dict.fromkeys(part["losses"], part["seeds"]))
    parts = []
    for condition, losses in wanted.items():
        done = {loss: sum((r["condition"], r["loss"]) == (condition, loss) for r in rows) for loss in losses}
        lacking = [f"{loss} {done[loss]} of {seeds}" for loss, seeds in losses.items() if done[loss] < seeds]
        if not any(done.values()):
            parts.append(f"- {condition}: nothing yet")
        elif lacking:
            parts.append(f"- {condition}: {', '.join(lacking)}")
    start = "Runs that are finished, where not all are; `make study-plane` goes on there:"
    return "\n".join([start, "", *parts]) + "\n" if parts else "All runs of the recipe are finished.\n"


def answers(every: Sequence[Look]) -> str:
    """The primary questions, each with its answer; of an open one, how many pairs would answer it."""
    lines = head(
        "question: against l1,", "tested on", "metric", "look", "pairs", "l1", "difference, %", "corrected p", "answer"
    )
    last = {id(look.question): look.number for look in every if look.effect}
    for look in every:
        question, effect = look.question, look.effect
        asks = f"{question['loss']}, {question['condition']}"
        start = f"| {asks} | {TESTS[question['test']]} | {METRICS[question['metric']]} | {look.number} | "
        if effect is None:
            lines.append(start + f"– | – | – | – | {look.answer} |")
            continue
        said = look.answer
        if said == "open" and last[id(question)] == look.number:
            said = f"open; {needed(effect)} pairs would answer it"
        cells = (str(effect["pairs"]), number(effect["l1"]), _with_interval(effect), number(look.p, 2), said)
        lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def answer(effect: Row, p: float) -> str:
    """In words, of an effect with its corrected p; the interval that is to exclude an effect is one of 97.5%."""
    difference = percent(effect)[0]
    if p <= LEVEL:
        return "lower" if difference < 0 else "higher"
    reach = _error(effect) * float(stats.t(effect["pairs"] - 1).ppf(1 - LEVEL / LOOKS / 2))
    return f"no effect of {WORTH:.0f}%" if abs(difference) + reach < WORTH else "open"


def _error(effect: Row) -> float:
    """The standard error of a difference, in % of l1."""
    _, low, high = percent(effect)
    return (high - low) / 2 / float(stats.t(effect["pairs"] - 1).ppf(1 - LEVEL / 2))


def needed(effect: Row, questions: int = 3) -> int:
    """How many pairs would answer it, were the difference seen the true one: show it with a power of 0.8 at a level of
    0.05 for so many questions and two looks, or have an interval within 10%."""
    difference, spread = abs(percent(effect)[0]), _error(effect) * float(np.sqrt(effect["pairs"]))

    def answered(pairs: int) -> bool:
        reach = float(stats.t(pairs - 1).ppf(1 - LEVEL / LOOKS / 2)) * spread / float(np.sqrt(pairs))
        return detectable(spread, pairs, LOOKS * questions) <= difference or difference + reach < WORTH

    return next(pairs for pairs in range(2, 100_000) if answered(pairs))


def tables(recipe: Mapping[str, Any], rows: Sequence[Row], effects: Sequence[Row]) -> str:
    """Every loss under every condition that has two pairs: exploratory, each interval for itself."""
    lines = []
    for condition in recipe["conditions"]:
        for test, called in TESTS.items():
            here = [e for e in effects if e["condition"] == condition and e["test"] == test]
            base = [row for row in rows if row["condition"] == condition and row["loss"] == "l1"]
            if not here or not base:
                continue
            lines += [f"#### {condition} training samples, tested on {called}", ""]
            lines += head("", "pairs", *METRICS.values())
            means = [number(float(np.mean([row[test][metric] for row in base]))) for metric in METRICS]
            lines.append(f"| l1 | {len(base)} runs | " + " | ".join(means) + " |")
            for loss in recipe["losses"]:
                mine = {e["metric"]: e for e in here if e["loss"] == loss}
                if mine:
                    cells = [_with_interval(mine[metric]) for metric in METRICS]
                    lines.append(f"| {loss}, % of l1 | {mine['nmae']['pairs']} | " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def _with_interval(effect: Row) -> str:
    return interval(effect, excludes_zero(effect))


def trained(rows: Sequence[Row]) -> str:
    """How far each training has come: the validation loss at the end, and what a run took."""
    lines = head(
        "", "runs", "validation loss over its least", f"its change in the last {LAST:.0%} of the steps, %",
        "least in the last tenth, % of runs", "validation NMAE, %", "ms per step", "processor s per run",
    )  # fmt: skip
    for condition, loss in dict.fromkeys((row["condition"], row["loss"]) for row in rows):
        here = [row for row in rows if (row["condition"], row["loss"]) == (condition, loss)]
        paths = [np.array(row["validation_loss"]) for row in here]
        change = [path[-1] / path[-1 - round(LAST * len(path))] - 1 for path in paths]
        late = [path.argmin() >= round(0.9 * len(path)) for path in paths]
        keys = ("validation_nmae", "step_ms", "seconds")
        cells = [
            str(len(here)), number(float(np.mean([path[-1] / path.min() for path in paths]))),
            f"{100 * float(np.mean(change)):+.1f}".replace("-", "−"), f"{100 * float(np.mean(late)):.0f}",
            *(number(float(np.mean([_end(row[key]) for row in here]))) for key in keys),
        ]  # fmt: skip
        lines.append(f"| {condition}; {loss} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def taken(rows: Sequence[Row]) -> str:
    """The processor time of all runs."""
    return f"The {len(rows)} runs took {sum(row['seconds'] for row in rows) / 60:.0f} minutes of one core in all.\n"


def _end(value: float | Sequence[float]) -> float:
    return float(value[-1]) if isinstance(value, Sequence) else float(value)


def cost_table(costs: Mapping[str, Row]) -> str:
    """Time and memory of a training step."""
    lines = head("loss", "processor ms per step", "over l1", "MB above that before training")
    for loss, cost in costs.items():
        times = cost["ms"] / costs["l1"]["ms"]
        lines.append(f"| {loss} | {number(cost['ms'])} | {times:.1f} | {number(cost['mb'])} |")
    return "\n".join(lines) + "\n"


def power(recipe: Mapping[str, Any]) -> str:
    """What the pilot said that so many pairs can detect."""
    numbers = (4, 10)
    lines = head("start", "spread in the pilot, % of l1", *(f"seen by {n} pairs, %" for n in numbers))
    for condition, spread in recipe["pilot"]["spread"].items():
        least = [f"{detectable(spread, pairs, len(recipe['questions'])):.0f}" for pairs in numbers]
        lines.append(f"| {condition} | {spread} | " + " | ".join(least) + " |")
    return "\n".join(lines) + "\n"


def forest(recipe: Mapping[str, Any], effects: Sequence[Row]) -> bytes:
    """Each loss's error over that of l1 with its interval, a panel for each metric, a block of rows for each condition;
    filled for tests of the same kind, hollow for corners."""
    shown = ("nmae", "w2", "dipole_error", "basin_error", "low_density_nmae", "coulomb_error")
    blocks = [c for c in recipe["conditions"] if any(e["condition"] == c for e in effects)]
    places: dict[tuple[str, str], float] = {}
    ticks, place = [], 0.0
    for condition in blocks:
        for loss in recipe["losses"]:
            if any(e["condition"] == condition and e["loss"] == loss for e in effects):
                places[condition, loss] = place
                ticks.append((place, loss))
                place += 1
        place += 1.2
    with styled():
        figure, axes = panels(len(shown), 12.5, 1.2 + 0.23 * place)
        for ax, metric in zip(axes, shown, strict=True):
            here = [e for e in effects if e["metric"] == metric]
            for effect in here:
                inner = effect["test"] == "inner"
                row = places[effect["condition"], effect["loss"]] + (-0.17 if inner else 0.17)
                middle, low, high = (1 + value / 100 for value in percent(effect))
                colour = COLOURS[effect["loss"]]
                ax.plot([max(low, 0.1), high], [row, row], color=colour, linewidth=1.5)
                ax.plot(middle, row, "o", color=colour, markersize=4.5, markerfacecolor=colour if inner else "white")
            ax.axvline(1, color=INK, linewidth=0.7, zorder=0)
            ax.axvspan(1 - WORTH / 100, 1 + WORTH / 100, color=GREY, alpha=0.18, linewidth=0, zorder=0)
            ax.set(title=METRICS[metric].replace(" where ", "\nwhere "), xscale="log", ylim=(place - 1.4, -1.3))
            ax.set_xlim(0.25, max(4.0, 1.1 * max((1 + percent(e)[2] / 100 for e in here), default=4.0)))
            wide = ax.get_xlim()[1] > 12
            marks = [t for t in (0.3, 1, 3, 10, 30, 100) if t <= ax.get_xlim()[1]] if wide else [0.25, 0.5, 1, 2, 4]
            ax.set_xticks(marks, [f"{t:g}" for t in marks])
            ax.minorticks_off()
            ax.set_yticks([at for at, _ in ticks], [])
            for condition in blocks:
                top = min(at for (c, _), at in places.items() if c == condition)
                if ax is axes[0]:
                    ax.text(0.26, top - 0.65, condition, fontsize=8.5, fontweight="bold", va="center")
        axes[0].set_yticklabels([loss for _, loss in ticks])
        figure.supxlabel("error over that of l1 (shaded: within 10%; filled: others of the same kind, hollow: corners)",
                         fontsize=9)  # fmt: skip
        return png(figure)


def training(rows: Sequence[Row]) -> bytes:
    """The validation NMAE against processor time: each run a thin line, the mean of a loss a thick one. A run's time is
    the mean of its kind, spread evenly over its steps."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    with styled():
        figure, (spare,) = panels(1, 11.5, 6.0)
        spare.remove()
        axes = figure.subplots(2, len(conditions) // 2 + 1).ravel()  # one at the end for the names of the losses
        for ax in axes[len(conditions) :]:
            ax.set_axis_off()
        for ax, condition in zip(axes, conditions, strict=False):
            here = [row for row in rows if row["condition"] == condition]
            for loss in _losses(here):
                paths = np.array([row["validation_nmae"] for row in here if row["loss"] == loss])
                took = float(np.mean([row["seconds"] for row in here if row["loss"] == loss]))
                times = np.arange(1, paths.shape[1] + 1) / paths.shape[1] * took
                ax.plot(times, paths.T, color=COLOURS[loss], linewidth=0.4, alpha=0.5)
                ax.plot(times, np.exp(np.log(paths).mean(0)), color=COLOURS[loss], linewidth=1.8, label=loss)
            ax.set(title=condition, yscale="log", xlabel="processor seconds", ylabel="validation NMAE, %")
            ax.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
            ax.set_ylim(0.4, 60)
            ax.minorticks_off()
        axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center", fontsize=8.5)
        return png(figure)


def _losses(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["loss"] for row in rows))

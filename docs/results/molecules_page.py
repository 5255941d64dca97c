"""The tables and figures of the model of molecules, from molecules.jsonl, which molecules_errors.py writes.

    python docs/results/molecules_page.py

Those of errors are put into molecules.md and into the card of the model, and so are the failures and the learning curve
(molecules_more.py); the goals and the starts of PySCF, from molecules_starts.jsonl, into molecules.md. Longer than 200
lines because one page has all of these tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import molecules_errors
import molecules_more
import molecules_starts
import numpy as np
from pages import head, put, records
from scipy.stats import spearmanr

HERE = Path(__file__).parent
CARD = molecules_errors.MODEL / "card.md"
FIGURE = HERE.parent / "figures" / "molecules.png"
NAMES = {
    "qm9": "QM9, the first 100",
    "ethanol": "ethanol, frames of a trajectory",
    "list": "the list, its test part",
}
SIZES = {"1 heavy atom": (1,), "2–3": (2, 3), "4": (4,), "5": (5,), "6–7": (6, 7)}
DISPLACED = {"relaxed": (0,), "displaced, 300 K": (300,), "600 to 1000 K": (600, 1000), "1500 K": (1500,)}
WHOLE = ("whole grids", "n", "NMAE, %", "dipole computed, e·Å, mean", "its error, mean", "median", "largest",
         "Coulomb energy of the error, eV per electron", "electrons of an atom, mean", "largest",
         "electrons, largest")  # fmt: skip
SAID = (
    "what is said beforehand",
    "n",
    "rank correlation with the NMAE",
    "mean",
    "NMAE, %, mean",
    "within a factor of two",
    "error above twice it",
)
Rows = Sequence[dict[str, Any]]


def atoms(row: dict[str, Any]) -> dict[str, int]:
    """Of each element, how many."""
    return {symbol: int(n) for symbol, n in re.findall(r"([A-Z][a-z]?)(\d+)", row["formula"])}


def heavy(row: dict[str, Any]) -> int:
    return sum(n for symbol, n in atoms(row).items() if symbol != "H")


def table(first: str, lines: Sequence[tuple[str, Rows]]) -> str:
    """Errors of groups of molecules that have any."""
    text = head(first, "n", "NMAE, %, mean", "median", "largest", "its orbitals alone")
    for name, some in lines:
        if some:
            errors = np.array([row["nmae"] for row in some])
            numbers = f"{errors.mean():.2f} | {np.median(errors):.2f} | {errors.max():.2f}"
            base = np.mean([row["orbitals"] for row in some])
            text.append(f"| {name} | {len(some)} | {numbers} | {base:.1f} |")
    return "\n".join(text) + "\n"


def groups(every: Rows) -> list[tuple[str, Rows]]:
    """By size, element, displacement and warning."""
    both = [row for row in every if row["of"] != "ethanol"]
    listed = [row for row in every if row["of"] == "list"]

    def of(name: str, some: Rows, wanted: Callable[[dict[str, Any]], bool]) -> tuple[str, Rows]:
        return name, [row for row in some if wanted(row)]

    return [
        *(of(name, both, lambda r, n=numbers: heavy(r) in n) for name, numbers in SIZES.items()),
        *(of(f"with {symbol}", both, lambda r, s=symbol: s in atoms(r)) for symbol in "NOF"),
        of("of C and H alone", both, lambda r: atoms(r).keys() <= {"C", "H"}),
        *(of(f"{name} (list)", listed, lambda r, k=kelvin: r["kelvin"] in k) for name, kelvin in DISPLACED.items()),
        of("warned of (distance above 1)", every, lambda r: r["distance"] > 1),
        of("not warned of", every, lambda r: r["distance"] <= 1),
    ]  # fmt: skip


def whole(every: Rows) -> str:
    """Errors on whole grids."""
    text = head(*WHOLE)
    for of, name in NAMES.items():
        some = [row["whole"] for row in every if row["of"] == of and "whole" in row]
        if some:
            moved = np.abs([x for one in some for x in one["atoms"]])
            dipoles = np.array([w["dipole"] for w in some])
            text.append(f"| {name} | {len(some)} | {np.mean([w['nmae'] for w in some]):.2f} | "
                        f"{np.mean([w['dipoles'][1] for w in some]):.2f} | "
                        f"{dipoles.mean():.3f} | {np.median(dipoles):.3f} | {dipoles.max():.3f} | "
                        f"{np.mean([w['coulomb'] for w in some]):.4f} | {moved.mean():.3f} | {moved.max():.3f} | "
                        f"{max(abs(w['electrons']) for w in some):.0e} |")  # fmt: skip
    return "\n".join(text) + "\n"


def charges(every: Rows) -> str:
    """Charges of the atoms of each element, computed, and how far the predicted ones are off."""
    text = head("charge of an atom, QM9, e", "n", "computed, mean", "deviation", "error, mean", "absolute, mean",
                "largest", "correlation")  # fmt: skip
    some = [row["whole"] for row in every if row["of"] == "qm9" and "whole" in row]
    for symbol in "HCNOF":
        atoms_of = (place for one in some for place in zip(one["symbols"], one["charges"], one["atoms"], strict=True))
        if len(pairs := np.array([(q, -moved) for element, q, moved in atoms_of if element == symbol])):
            computed, off = pairs.T
            text.append(f"| {symbol} | {len(off)} | {computed.mean():+.3f} | {computed.std():.3f} | "
                        f"{off.mean():+.3f} | {np.abs(off).mean():.3f} | {np.abs(off).max():.3f} | "
                        f"{np.corrcoef(computed, computed + off)[0, 1]:.3f} |")  # fmt: skip
    return "\n".join(text) + "\n"


def trust(every: Rows) -> str:
    """How the warning's distance, and the error that is expected, go with the error."""
    text = head(*SAID)
    sets = {"all": every, **{name: [row for row in every if row["of"] == of] for of, name in NAMES.items()}}
    for title, key in {"distance of the warning": "distance", "expected NMAE, %": "expected"}.items():
        for name, some in sets.items():
            values, errors = (np.array([row[one] for row in some]) for one in (key, "nmae"))
            above = errors > 2 * values
            inside = f"{100 * np.mean(~above & (errors > values / 2)):.0f}% | {above.sum()} of {len(some)}"
            text.append(f"| {title}: {name} | {len(some)} | {spearmanr(values, errors).statistic:.2f} | "
                        f"{values.mean():.2f} | {errors.mean():.2f} | "
                        f"{inside if key == 'expected' else ' | '} |")  # fmt: skip
    return "\n".join(text) + "\n"


def calibration(every: Rows) -> str:
    """Molecules in four parts by what is said beforehand: their mean errors."""
    text = head("a fourth of the molecules, by", "from", "to", "expected NMAE, %, mean", "NMAE, %, mean", "largest")
    for title, key in {"expected NMAE, %": "expected", "distance of the warning": "distance"}.items():
        ordered = sorted(every, key=lambda row: row[key])
        for part in np.array_split(np.arange(len(ordered)), 4):
            some = [ordered[i] for i in part]
            errors = [row["nmae"] for row in some]
            text.append(f"| {title} | {some[0][key]:.2f} | {some[-1][key]:.2f} | "
                        f"{np.mean([row['expected'] for row in some]):.2f} | {np.mean(errors):.2f} | "
                        f"{np.max(errors):.2f} |")  # fmt: skip
    return "\n".join(text) + "\n"


def goals(every: Rows) -> str:
    """Goals that these measurements decide, and whether they are met."""
    qm9, ethanol = ([row for row in every if row["of"] == of] for of in ("qm9", "ethanol"))
    grids = [row["whole"] for row in qm9 if "whole" in row]
    electrons = max(abs(row["whole"]["electrons"]) for row in every if "whole" in row)
    text = head("goal", "measured", "n", "")
    for goal, limit, value, n, digits in (
        ("QM9, NMAE in %, mean ≤ 0.7", 0.7, np.mean([row["nmae"] for row in qm9]), len(qm9), ".2f"),
        ("QM9, NMAE in %, largest ≤ 1.5", 1.5, max(row["nmae"] for row in qm9), len(qm9), ".2f"),
        ("ethanol, NMAE in %, mean ≤ 0.6", 0.6, np.mean([row["nmae"] for row in ethanol]), len(ethanol), ".2f"),
        ("QM9, dipole, e·Å, mean ≤ 0.03", 0.03, np.mean([one["dipole"] for one in grids]), len(grids), ".3f"),
        ("electrons within 1e-6", 1e-6, electrons, sum("whole" in row for row in every), ".0e"),
    ):
        text.append(f"| {goal} | {value:{digits}} | {n} | {'met' if value <= limit else 'missed'} |")
    return "\n".join(text) + "\n"


def starts(every: Rows) -> str:
    """Cycles and seconds from each start, over the molecules that have all of them."""
    text = head("start of PySCF", "n", "cycles, mean", "least", "most", "SCF, s", "before, s")
    cases = {name: {row["id"]: row for row in every if row["start"] == name} for name in molecules_starts.STARTS}
    shared = set.intersection(*(set(some) for some in cases.values()))
    for name, some in cases.items():
        cycles, seconds, before = (
            np.array([some[one][key] for one in sorted(shared)]) for key in ("cycles", "seconds", "before")
        )
        text.append(f"| {name} | {len(shared)} | {cycles.mean():.1f} | {cycles.min()} | {cycles.max()} | "
                    f"{seconds.mean():.1f} | {before.mean():.1f} |")  # fmt: skip
    return "\n".join(text) + "\n"


def drawn(every: Rows) -> None:
    """Error by size, the worst molecules by name; by what was said beforehand, twice; and of dipoles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    (sizes, beforehand), (foreseen, dipoles) = figure.subplots(2, 2)
    shifts = {"qm9": -0.15, "ethanol": 0.0, "list": 0.15}
    for (of, name), marker in zip(NAMES.items(), "o^s", strict=True):
        some = [row for row in every if row["of"] == of]
        errors = [row["nmae"] for row in some]
        sizes.plot([heavy(row) + shifts[of] for row in some], errors, marker, ms=4, alpha=0.7, label=name)
        beforehand.plot([row["distance"] for row in some], errors, marker, ms=4, alpha=0.7)
        foreseen.plot([row["expected"] for row in some], errors, marker, ms=4, alpha=0.7)
        known = [row["whole"] for row in some if "whole" in row]
        dipoles.plot([w["nmae"] for w in known], [w["dipole"] for w in known], marker, ms=4, alpha=0.7)
    for place, row in enumerate(sorted(every, key=lambda r: -r["nmae"])[:5]):
        symbols = sorted(atoms(row).items(), key=lambda one: (one[0] != "C", one[0] != "H", one[0]))
        label = "".join(symbol + (f"$_{n}$" if n > 1 else "") for symbol, n in symbols)
        side, end = ((7, "left"), (-7, "right"))[place % 2]  # of two that are as wrong, one on each side
        sizes.annotate(label, (heavy(row) + shifts[row["of"]], row["nmae"]), xytext=(side, -2), ha=end,
                       textcoords="offset points", fontsize=7)  # fmt: skip
    sizes.set(xlabel="heavy atoms", ylabel="NMAE, %", xlim=(0, 8.6), ylim=(0, None))
    beforehand.axvline(1, color="0.5", lw=0.8)
    beforehand.set(xlabel="distance of the warning", ylabel="NMAE, %", ylim=(0, None))
    ends = np.array([0.0, 1.1 * max(row["expected"] for row in every)])
    for factor, style in ((1, "-"), (2, "--"), (0.5, "--")):
        foreseen.plot(ends, factor * ends, style, color="0.5", lw=0.8)
    largest = 1.1 * max(row["nmae"] for row in every)
    foreseen.set(xlabel="expected NMAE, %", ylabel="NMAE, %", xlim=(0, None), ylim=(0, largest))
    figure.legend(*sizes.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    dipoles.axhline(0.03, color="0.5", lw=0.8)
    dipoles.set(xlabel="NMAE on the whole grid, %", ylabel="error of the dipole, e·Å", ylim=(0, None))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    measured = records(molecules_errors.RESULTS)
    errors = table("molecules", [(name, [r for r in measured if r["of"] == of]) for of, name in NAMES.items()])
    for page in (HERE / "molecules.md", CARD):
        put(page, "errors", errors)
        put(page, "whole", whole(measured))
        put(page, "trust", trust(measured))
        put(page, "charges", charges(measured))
        put(page, "calibration", calibration(measured))
        put(page, "failures", molecules_more.failures())
        put(page, "curve", molecules_more.curve())
    put(HERE / "molecules.md", "goals", goals(measured))
    put(HERE / "molecules.md", "starts", starts(records(molecules_starts.RESULTS)))
    put(CARD, "groups", table("of the list's test part and QM9", groups(measured)))
    drawn(measured)
    molecules_more.drawn([row["nmae"] for row in measured if row["of"] == "qm9"])

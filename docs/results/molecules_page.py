"""The tables and the figure of the model of molecules, from molecules.jsonl, which molecules_errors.py writes.

    python docs/results/molecules_page.py

Those of errors are put into molecules.md and into the card of the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from molecules_errors import rows
from pages import put
from scipy.stats import spearmanr

HERE = Path(__file__).parent
CARD = HERE.parents[1] / "plugins/edframe-models/src/edframe_models/molecules-hcnof/card.md"
FIGURE = HERE.parent / "figures" / "molecules.png"
NAMES = {
    "qm9": "QM9, of the first 100",
    "ethanol": "ethanol, frames of a trajectory",
    "list": "the list, its test part",
}
SIZES = {"1 heavy atom": (1,), "2–3": (2, 3), "4": (4,), "5": (5,), "6–7": (6, 7)}
DISPLACED = {"relaxed": (0,), "displaced, 300 K": (300,), "600 to 1000 K": (600, 1000), "1500 K": (1500,)}
WHOLE = ("whole grids", "n", "NMAE, %", "dipole, e·Å, mean", "largest", "Coulomb energy of the error, eV per electron",
         "electrons of an atom, mean", "largest", "electrons, largest")  # fmt: skip
SAID = (
    "what is said beforehand",
    "n",
    "rank correlation with the NMAE",
    "mean",
    "NMAE, %, mean",
    "within a factor of two",
)
Rows = Sequence[dict[str, Any]]


def atoms(row: dict[str, Any]) -> dict[str, int]:
    """Of each element, how many."""
    return {symbol: int(n) for symbol, n in re.findall(r"([A-Z][a-z]?)(\d+)", row["formula"])}


def heavy(row: dict[str, Any]) -> int:
    return sum(n for symbol, n in atoms(row).items() if symbol != "H")


def head(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]


def table(first: str, lines: Sequence[tuple[str, Rows]]) -> str:
    """Errors of groups of molecules that have any."""
    text = head([first, "n", "NMAE, %, mean", "median", "largest", "superposed atoms"])
    for name, some in lines:
        if some:
            errors = np.array([row["nmae"] for row in some])
            numbers = f"{errors.mean():.2f} | {np.median(errors):.2f} | {errors.max():.2f}"
            base = np.mean([row["superposed atoms"] for row in some])
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
    text = head(WHOLE)
    for of, name in NAMES.items():
        some = [row["whole"] for row in every if row["of"] == of and "whole" in row]
        if some:
            moved = np.abs([x for one in some for x in one.get("atoms", ())])
            charges = (f"{moved.mean():.3f}", f"{moved.max():.3f}") if len(moved) else ("–", "–")
            text.append(f"| {name} | {len(some)} | {np.mean([w['nmae'] for w in some]):.2f} | "
                        f"{np.mean([w['dipole'] for w in some]):.3f} | {max(w['dipole'] for w in some):.3f} | "
                        f"{np.mean([w['coulomb'] for w in some]):.4f} | {charges[0]} | {charges[1]} | "
                        f"{max(abs(w['electrons']) for w in some):.0e} |")  # fmt: skip
    return "\n".join(text) + "\n"


def trust(every: Rows) -> str:
    """How the warning's distance, and the error that is expected, go with the error."""
    said = {"distance of the warning": "distance", "expected NMAE, %": "expected"}
    text = head(SAID)
    for name, key in said.items():
        known = [row for row in every if row.get(key) is not None]
        if known:
            values, errors = (np.array([row[one] for row in known]) for one in (key, "nmae"))
            inside = np.mean((errors < 2 * values) & (errors > values / 2)) if key == "expected" else None
            text.append(f"| {name} | {len(known)} | {spearmanr(values, errors).statistic:.2f} | {values.mean():.2f} | "
                        f"{errors.mean():.2f} | {'' if inside is None else f'{100 * inside:.0f}%'} |")  # fmt: skip
    return "\n".join(text) + "\n"


def drawn(every: Rows) -> None:
    """Error by size, the worst molecules by name; by what was said beforehand; and of dipoles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    sizes, beforehand, dipoles = figure.subplots(1, 3)
    for (of, name), marker in zip(NAMES.items(), "o^s", strict=True):
        some = [row for row in every if row["of"] == of]
        errors = [row["nmae"] for row in some]
        shift = {"qm9": -0.15, "ethanol": 0.0, "list": 0.15}[of]
        sizes.plot([heavy(row) + shift for row in some], errors, marker, ms=4, alpha=0.7, label=name)
        beforehand.plot([row["distance"] for row in some], errors, marker, ms=4, alpha=0.7)
        known = [row["whole"] for row in some if "whole" in row]
        dipoles.plot([w["nmae"] for w in known], [w["dipole"] for w in known], marker, ms=4, alpha=0.7)
    for row in sorted(every, key=lambda r: -r["nmae"])[:5]:
        symbols = sorted(atoms(row).items(), key=lambda one: (one[0] != "C", one[0] != "H", one[0]))
        label = "".join(symbol + (f"$_{n}$" if n > 1 else "") for symbol, n in symbols)
        sizes.annotate(label, (heavy(row), row["nmae"]), xytext=(7, 0), textcoords="offset points", fontsize=7)
    sizes.set(xlabel="heavy atoms", ylabel="NMAE, %", ylim=(0, None))
    beforehand.axvline(1, color="0.5", lw=0.8)
    beforehand.set(xlabel="distance of the warning", ylabel="NMAE, %", ylim=(0, None))
    figure.legend(*sizes.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    dipoles.axhline(0.03, color="0.5", lw=0.8)
    dipoles.set(xlabel="NMAE on the whole grid, %", ylabel="error of the dipole, e·Å", ylim=(0, None))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    measured = rows()
    errors = table("molecules", [(name, [r for r in measured if r["of"] == of]) for of, name in NAMES.items()])
    for page in (HERE / "molecules.md", CARD):
        put(page, "errors", errors)
        put(page, "whole", whole(measured))
        put(page, "trust", trust(measured))
    put(CARD, "groups", table("of the list's test part and QM9", groups(measured)))
    drawn(measured)

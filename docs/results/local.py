"""The learning curve of docs/atoms.md, and the rows of `local` and `local-network` in accuracy.md.

    python benchmarks/local.py        a row at a time, ten seconds to six minutes of one core each
    python docs/results/local.py

Reads benchmarks/local.json and docs/results/accuracy.json; computes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from accuracy import results
from pages import ROOT, head, put

from edframe.report.style import BLUE, GREY, INK, ORANGE, panels, png, styled

FIGURE, PAGE = ROOT / "docs" / "figures" / "learning.png", ROOT / "docs" / "results" / "accuracy.md"
MEASURED = ROOT / "benchmarks" / "local.json"
OTHERS = {"krr": ("s", 8), "unet": ("^", 9), "resunet": ("v", 9)}
"""Models of accuracy.json that are drawn, and their marks: open ones, because two lie on each other."""
CURVES = {"local": BLUE, "network": ORANGE}
NAMES = {"local": "local", "network": "local-network", "local without products": "local, products=0"}
KINDS = {"li-o-li": "Li–O–Li", "li2o-1": "n = 1", "li2o-2": "n = 2", "li2o-3": "n = 3", "li2o-4": "n = 4"}
YTICKS = (0.05, 0.1, 0.2, 0.5, 1)
SAMPLES = 457
"""In training, where all are, of fold 0."""


def measured() -> dict[str, dict[str, Any]]:
    """Rows of fold 0 by their names in ``benchmarks/local.py``."""
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))
    return {name.split(", fold 0,")[0]: row for name, row in rows.items() if ", fold 0," in name}


def curve(rows: dict[str, dict[str, Any]], kind: str) -> list[tuple[int, float]]:
    """Training samples and NMAE in % on random folds."""
    names = [f"{kind}, {size}" for size in ("25", "100", "all")]
    return [(rows[name]["training"], rows[name]["nmae"]) for name in names if name in rows]


def figure(rows: dict[str, dict[str, Any]]) -> bytes:
    """NMAE against training samples, both logarithmic."""
    with styled():
        drawing, (axes,) = panels(1, 4.6, 3.2)
        for kind, colour in CURVES.items():
            axes.loglog(*zip(*curve(rows, kind), strict=True), "o-", color=colour, label=NAMES[kind])
        for model, (mark, size) in OTHERS.items():
            first = [
                r for r in results() if (r["budget"], r["model"], r["task"], r["fold"]) == ("small", model, "random", 0)
            ]
            for run in first:
                nmae = run["metrics"]["nmae"]["mean"]
                axes.loglog(SAMPLES, nmae, mark, color=INK, markersize=size, markerfacecolor="none", label=model)
        axes.axhline(0.06, color=GREY, linewidth=0.6, linestyle=":")
        axes.set(xlabel="training samples", ylabel="NMAE (%)", xticks=[25, 100, SAMPLES], ylim=(0.03, 1))
        axes.set_xticks([], minor=True)
        axes.set_xticklabels(["25", "100", str(SAMPLES)])
        axes.set_yticks(YTICKS, [str(tick) for tick in YTICKS])
        axes.set_yticks([], minor=True)
        axes.legend(loc="center right")
        return png(drawing)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """In Markdown: Li–O–Li, then the clusters by size."""
    lines = head("featurizer", "trained on", "NMAE, %", "median", "worst", "fit, CPU s")
    for name, row in rows.items():
        kind, _, rest = name.partition(", ")
        if "clusters" not in rest:
            what = f"{row['training']} {'molecules of QM9' if rest == 'qm9' else 'samples'}"
            what += ", corners held out" if "corners" in rest else ""
            values = " | ".join(f"{row[key]:.3f}" for key in ("nmae", "median", "worst"))
            lines.append(f"| {NAMES[kind]} | {what} | {values} | {row['fit']:.0f} |")
    lines += ["", *head("featurizer", "trained on Li–O–Li and", *KINDS.values(), "Spearman")]
    for name, row in rows.items():
        kind, _, rest = name.partition(", ")
        if "clusters" in rest:
            every = row["tested"] | row["others"]
            errors = [[e for sample, e in every.items() if sample.startswith(start)] for start in KINDS]
            means = " | ".join(f"{np.mean(of_one):.2f}" for of_one in errors)
            sizes = "n = 1" if rest.endswith("n=1") else "n ≤ 2"
            lines.append(f"| {NAMES[kind]} | {sizes} | {means} | {row['spearman']:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    rows = measured()
    FIGURE.write_bytes(figure(rows))
    put(PAGE, "local", table(rows))


if __name__ == "__main__":
    main()

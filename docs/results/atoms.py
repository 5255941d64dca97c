"""The figure and the tables of docs/atoms.md: atoms fitted to Li–O–Li, and to LiF of another code.

    python docs/results/atoms.py [--fluoride FOLDER]

FOLDER: of ``benchmarks/another_valence.py``; without it the table of LiF stays as it is. Errors are NMAE on test
samples, from as many points of each as a fit draws. Some two minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from edframe_gaussian import superposition
from edframe_gaussian.superposition import Fit, fit_atoms
from edframe_gaussian.tables import load_atomic_densities
from numpy.typing import NDArray
from pages import ROOT, put
from scipy.optimize import nnls

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.report.style import BLUE, GREY, INK, ORANGE, panels, png, styled
from edframe.runs.build import build
from edframe.sample import Sample

FIGURE, PAGE = ROOT / "docs" / "figures" / "atoms.png", ROOT / "docs" / "atoms.md"
TESTED = 20


def samples(data: str, *settings: str) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples of fold 0: at most 200, and at most 20, drawn evenly."""
    registry = Registry.discover()
    experiment, _ = resolve(registry, None, {"data": data, "loss": "l1"}, settings)
    parts = build(experiment, registry, lambda done, total: None)

    def some(indices: Sequence[int], most: int) -> list[Sample]:
        chosen = np.random.default_rng(0).permutation(len(indices))[:most]
        return [parts.dataset[indices[i]] for i in chosen]

    return some(parts.split.train, 200), some(parts.split.test, TESTED)


class Judge:
    """The errors of fitted atoms on some samples, whose sums over atoms are made once."""

    def __init__(self, judged: Sequence[Sample], species: Sequence[str]) -> None:
        self.drawn = [superposition._drawn(sample, species, 1000 + i)[:3] for i, sample in enumerate(judged)]

    def __call__(self, coefficients: NDArray[np.float64]) -> float:
        """Mean NMAE in %."""
        errors = [(np.abs(d @ coefficients.ravel() - y) / p).sum() / (y / p).sum() for d, y, p in self.drawn]
        return 100 * float(np.mean(errors))


def neutral(fitted: Sequence[Sample], species: Sequence[str], electrons: Sequence[float]) -> NDArray[np.float64]:
    """The nearest atoms that hold ``electrons`` each, for comparison: by the same least squares."""
    integral = superposition.integrals(3)
    rows, values = [], []
    for place, sample in enumerate(fitted):
        design, density, chance, _ = superposition._drawn(sample, species, place)
        root = np.sqrt(sample.grid.voxel_volume / (chance * (density + superposition.FLOOR)))
        rows.append(design * root[:, None])
        values.append(density * root)
    weight = 1e3 * np.linalg.norm(np.concatenate(values))
    rows.append(weight * np.kron(np.eye(len(species)), integral))
    values.append(weight * np.array(electrons))
    return nnls(np.concatenate(rows), np.concatenate(values), maxiter=10**5)[0]


def crossed(judged: Sequence[Sample], others: Sequence[Sample], species: Sequence[str]) -> str:
    """Errors on ``judged`` of the atoms fitted to them, and of those fitted to ``others``."""
    judge = Judge(judged, species)
    own, foreign = (judge(fit_atoms(part, species).coefficients) for part in (judged, others))
    return f"| {len(judged)} | {own:.2f} % | {foreign:.2f} % |"


def figure(fit: Fit, species: Sequence[str]) -> bytes:
    """Fitted atoms beside the free ones of ``sad``: the density on a logarithmic scale, and electrons per Å."""
    r = np.linspace(0, 4, 801)
    with styled():
        drawing, axes = panels(2, 7.2, 2.9)
        for index, (free, colour) in enumerate(zip(load_atomic_densities(species), (BLUE, ORANGE), strict=True)):
            theirs = np.interp(r, free.radii, free.values, right=0)
            ours = fit.profile(r)[index]
            for values, style, what in ((ours, "-", "fitted"), (theirs, "--", "free")):
                held = fit.charges[index] if what == "fitted" else free.charge
                label = f"{free.symbol}, {what}: {held:.2f} e"
                axes[0].semilogy(r, np.maximum(values, 1e-9), style, color=colour, label=label)
                axes[1].plot(r, 4 * np.pi * r**2 * values, style, color=colour)
        axes[0].set(xlabel="distance from the nucleus (Å)", ylabel="density (e/Å³)", ylim=(1e-5, 100), xlim=(0, 4))
        axes[1].set(xlabel="distance from the nucleus (Å)", ylabel="4πr²ρ (e/Å)", xlim=(0, 4), ylim=(0, None))
        axes[0].legend()
        for ax in axes:
            ax.axvline(1.7, color=GREY, linewidth=0.6, linestyle=":")
        axes[1].text(1.73, axes[1].get_ylim()[1] * 0.9, "about the length of a bond", color=INK, fontsize=7.5)
        return png(drawing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fluoride", type=Path)
    arguments = parser.parse_args()

    train, test = samples("li-o-li")
    species = ("Li", "O")
    judge = Judge(test, species)
    lines = ["| fitted to | test NMAE | electrons in Li, O |", "|---|---|---|"]
    for count in (3, 10, 25, 100, 200):
        fit = fit_atoms(train[:count], species)
        lines.append(
            f"| {count} samples | {judge(fit.coefficients):.2f} % | {fit.charges[0]:.2f}, {fit.charges[1]:.2f} |"
        )
    held = judge(neutral(train[:25], species, (3, 6)))
    lines.append(f"| 25 samples, atoms held neutral | {held:.1f} % | 3, 6 |")
    radii = superposition.CUTOFF * np.linspace(0, 1, 4001)
    put(PAGE, "lithia", "\n".join(lines) + "\n")
    FIGURE.write_bytes(figure(fit, species))
    rows = ["| samples fitted to | error on them | of atoms fitted to as many others |", "|---|---|---|"]
    rows += [crossed(train[:n], train[n : 2 * n], species) for n in (5, 15, 50)]
    put(PAGE, "crossed", "\n".join(rows) + "\n")
    assert fit.profile(radii).min() >= 0

    if arguments.fluoride:
        train, test = samples("vasp", f"data.files=[{arguments.fluoride}/*]")
        species = ("Li", "F")
        judge = Judge(test, species)
        lines = ["| fitted to | test NMAE | electrons in Li, F |", "|---|---|---|"]
        for count in (3, len(train)):
            fit = fit_atoms(train[:count], species)
            error = judge(fit.coefficients)
            lines.append(f"| {count} samples | {error:.2f} % | {fit.charges[0]:.2f}, {fit.charges[1]:.2f} |")
        held = judge(neutral(train, species, (1, 7)))
        lines.append(f"| {len(train)} samples, atoms held neutral | {held:.1f} % | 1, 7 |")
        put(PAGE, "fluoride", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

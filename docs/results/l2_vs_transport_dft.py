"""What a predicted density is worth to DFT: its energy without iterating, and the cycles that PySCF needs from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from edframe_pyscf import scf
from edframe_pyscf.harris import HarrisFunctional
from edframe_pyscf.levels import FUNCTIONAL
from edframe_pyscf.li_o_li_geometry import LEVEL
from numpy.typing import NDArray
from pages import head

from edframe.comparison.outcome import Outcome
from edframe.comparison.report.examples import Shown, predictions
from edframe.contract.registry import Registry
from edframe.data.conversion import volume_of
from edframe.errors import DataError
from edframe.io.files import replacing
from edframe.report.numbers import number
from edframe.restart.fock import dm0
from edframe.sample import Sample

ENERGIES = 40
"""Test structures of each test set whose energy is evaluated: a few seconds of DFT each, then 0.3 s per run."""
CYCLES = 10
"""Of these, those whose SCF is started from the predictions of the lowest seed: a few seconds for each run."""
LARGEST = 3
"""Structures whose share of the mean energy is told: energies are of second order, so that a few large ones count."""
TOGETHER = 100
"""Runs whose predictions are held in memory at once: 18 MB each."""

Cycles = Mapping[str, int]
"""Cycles of the SCF from a run's prediction, by test sample."""


def with_dft(outcomes: Sequence[Outcome], kept: Path) -> tuple[list[Outcome], dict[str, Cycles]]:
    """The runs with the metric ``energy_error``, |ΔE| in meV per atom, for some of their test samples (see ``harris``),
    and the SCF cycles from some predictions by the names of the runs; those from PySCF's own start are under "".

    Samples are spread evenly over each test set. What is there is kept in ``kept`` after each structure.
    """
    known: dict[str, dict[str, dict[str, float]]] = json.loads(kept.read_text()) if kept.exists() else {}
    energy, cycles = (known.setdefault(name, {}) for name in ("energies", "cycles"))
    first = min(outcome.seed for outcome in outcomes)
    for begin in range(0, len(outcomes), TOGETHER):
        runs = outcomes[begin : begin + TOGETHER]
        shown: dict[str, list[tuple[Outcome, Shown]]] = {}
        for run in runs:
            missing = [name for name in chosen(run, ENERGIES) if name not in energy.get(run.run.name, {})]
            for name, one in zip(missing, predictions(run, missing, Registry.discover()), strict=True):
                shown.setdefault(name, []).append((run, one))
        for done, (name, pairs) in enumerate(shown.items()):
            print(f"energies: {done}/{len(shown)} structures, {name}", flush=True)
            sample = pairs[0][1].batch.samples[0]
            functional = HarrisFunctional(sample.structure, LEVEL)
            for run, one in pairs:
                error = functional.error(one.density[None], sample.density, sample.grid)
                energy.setdefault(run.run.name, {})[name] = error
                if run.seed == first and name in chosen(run, CYCLES):
                    cycles.setdefault(run.run.name, {})[name] = cycles_from(sample, one.density[None])
                    if name not in cycles.setdefault("", {}):
                        cycles[""][name] = cycles_from(sample, None)
            with replacing(kept) as file:
                file.write(json.dumps(known).encode())
    with_energies = [
        joined(run, "energy_error", "meV/atom", {k: abs(v) for k, v in energy.get(run.run.name, {}).items()})
        for run in outcomes
    ]
    return with_energies, {name: {k: int(v) for k, v in values.items()} for name, values in cycles.items()}


def chosen(run: Outcome, count: int) -> list[str]:
    """So many of its test samples, evenly spread; a smaller choice lies within one of four times as many."""
    ids = sorted(run.samples)
    every = list(dict.fromkeys(ids[place] for place in np.linspace(0, len(ids) - 1, ENERGIES).round().astype(int)))
    return every[:: max(1, ENERGIES // count)]


def cycles_from(sample: Sample, density: NDArray[Any] | None) -> int:
    """Cycles in which PySCF converges a sample at the level of its label, from a density ``[1, x, y, z]`` in e/Å³, or
    from its own start. The Fock matrices that the start is made of (three) are not counted. Raises DataError where it
    does not converge."""
    from pyscf.pbc import dft

    mean_field = dft.RKS(scf.cell_of(sample.structure, LEVEL), xc=FUNCTIONAL).multigrid_numint()
    start = None if density is None else dm0(mean_field, volume_of(replace(sample, density=density)))
    mean_field, cycles = scf.drive(mean_field, scf.Settings(), start)
    if not mean_field.converged:
        raise DataError(f"{sample.id}: the SCF did not converge within {cycles} cycles")
    return cycles


def joined(run: Outcome, metric: str, unit: str, values: Mapping[str, float]) -> Outcome:
    """The run with one more metric of its test samples; nan where it has no value."""
    samples = {name: {**known, metric: values.get(name, math.nan)} for name, known in run.samples.items()}
    return replace(run, samples=samples, units={**run.units, metric: unit})


def spread(run: Outcome, cycles: Mapping[str, Cycles]) -> dict[str, Any]:
    """Of the energies of a run: their number, median and 0.9 quantile, and the share of the sum that is in the largest
    few; its mean cycles, and those of the same samples from PySCF's own start. Empty without energies."""
    if "energy_error" not in run.units:
        return {}
    values = np.array([sample["energy_error"] for sample in run.samples.values()])
    values = np.sort(values[np.isfinite(values)])
    known = {
        "structures": len(values), "median": float(f"{np.median(values):.4g}"),
        "high": float(f"{np.quantile(values, 0.9):.4g}"),
        "largest": float(f"{values[-LARGEST:].sum() / values.sum():.3g}"),
    }  # fmt: skip
    mine = {name: count for name, count in cycles.get(run.run.name, {}).items() if name in run.samples}
    if mine:
        known["cycles"] = float(np.mean(list(mine.values())))
        known["own_cycles"] = float(np.mean([cycles[""][name] for name in mine]))
    return {"energies": known}


def energies(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of what the mean energy of each loss is made of, and its cycles, where that is known."""
    known = [run for run in runs if "energies" in run]
    if not known:
        return []
    share = f"in the largest {LARGEST}, % of the sum"
    names = (
        "energy, meV/atom",
        "structures",
        "mean",
        "median",
        "0.9 quantile",
        share,
        "SCF cycles",
        "from its own start",
    )
    lines = ["", *head(*names)]
    for variant in dict.fromkeys(run["variant"] for run in known):
        ours = [run for run in known if run["variant"] == variant]
        mean = float(np.mean([run["energy_error"] for run in ours]))
        median, high, largest, structures = (
            float(np.mean([run["energies"][key] for run in ours]))
            for key in ("median", "high", "largest", "structures")
        )
        cells = [number(value) for value in (mean, median, high, 100 * largest)]
        for key in ("cycles", "own_cycles"):
            counted = [run["energies"][key] for run in ours if key in run["energies"]]
            cells.append(f"{np.mean(counted):.1f}" if counted else "–")
        lines.append(f"| {variant} | {structures:.0f} | " + " | ".join(cells) + " |")
    return lines

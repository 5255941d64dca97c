"""What the one optimum of each loss is worth to DFT: the study of ``convex.py`` in space, with energies and SCF cycles.

python docs/results/convex_energy.py          every solve and test structure that is not finished
python docs/results/convex_energy.py table    what is there, into convex.md and its figure

The model is that of the plane, with invariants in space, fitted to points 0.225 Å apart and evaluated 0.15 Å apart. Of
each test structure and each loss: the metrics of the plane, the energy of the density without iterating (Harris and
Foulkes), and for some the cycles in which PySCF converges from it. A line of convex-energy.jsonl each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from convex_model import Fit
from convex_study import TESTS, TRANSPORT, Solve, Study, measured, parts, short, single
from edframe_pyscf.harris import HarrisFunctional
from edframe_pyscf.li_o_li_geometry import LEVEL
from l2_vs_transport_dft import CYCLES, ENERGIES, cycles_from
from pages import ROOT, records

RESULTS = Path(__file__).with_name("convex-energy.jsonl")
RUNS = ROOT / "runs" / "convex-energy"
SIZE, FOLD = 25, 0
FITTED, TESTED = 32, 48
"""Points along an edge of 7.2 Å: of training samples, which are in memory together, and of test samples."""
NOTHING = "atoms"
"""The baseline alone: nothing is learnt but the atoms."""
SOLVES = (
    *(single(SIZE, FOLD, name) for name in ("l1", "l2", "coulomb", TRANSPORT)),
    Solve(SIZE, FOLD, (("l1", 0.9), (TRANSPORT, 0.1)), positive=True),
)


def solutions(study: Study, fit: Fit) -> dict[str, np.ndarray]:
    """The coefficients of each loss's optimum; those that are not there are solved for, and kept."""
    RUNS.mkdir(parents=True, exist_ok=True)
    files = {solve: RUNS / f"{solve.key}.npz" for solve in SOLVES}
    if not all(file.exists() for file in files.values()):
        study.use(study.tables.on(fit, parts(study.dataset, SIZE, FOLD)[0], np.float64))
        study.tables.forget()
        for solve, file in files.items():
            if not file.exists():
                row, done = study.optimum(solve)
                np.savez_compressed(file, z=done.z)
                put_down(row)
    return {solve.name: np.load(file)["z"] for solve, file in files.items()}


def chosen(ids: Sequence[int], count: int) -> list[int]:
    """So many of the tests, evenly spread; of fewer than ``ENERGIES`` every so many of these."""
    every = [ids[place] for place in np.linspace(0, len(ids) - 1, ENERGIES).round().astype(int)]
    return every[:: max(1, ENERGIES // count)]


def put_down(row: Mapping[str, Any]) -> None:
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def evaluate(study: Study, fit: Fit, z: Mapping[str, np.ndarray]) -> None:
    """A row for each test structure that has none, the two tests by turns."""
    done = {row["key"] for row in records(RESULTS)}
    tests = parts(study.dataset, SIZE, FOLD)[1:]
    wanted = [pair for pairs in zip(*(chosen(ids, ENERGIES) for ids in tests), strict=True)
              for pair in zip(TESTS, pairs, strict=True)]  # fmt: skip
    started = {index for ids in tests for index in chosen(ids, CYCLES)}
    for number, (test, index) in enumerate(wanted, 1):
        sample = study.tables.sample(index)
        if sample.id in done:
            continue
        model = study.tables.on(fit, [index])
        study.tables.forget()
        functional = HarrisFunctional(sample.structure, LEVEL)
        row: dict[str, Any] = {
            "key": sample.id, "test": test, "group": int(study.dataset.groups[index]), "energy": {}, "metrics": {},
        }  # fmt: skip
        if index in started:
            row["cycles"] = {"": cycles_from(sample, None)}
        atoms = torch.from_numpy(sample.positions)[None]
        reference = torch.from_numpy(sample.density)[None].double()
        for name, coefficients in {NOTHING: np.zeros(model.size), **z}.items():
            predicted = model.predicted(coefficients)
            row["energy"][name] = short(functional.error(predicted[0].numpy(), sample.density, sample.grid))
            values = measured(predicted, reference, atoms, sample.grid)
            row["metrics"][name] = {metric: short(float(value)) for metric, value in values.items()}
            if index in started:
                row["cycles"][name] = cycles_from(sample, predicted[0].numpy())
        put_down(row)
        print(f"{number}/{len(wanted)} {sample.id}: {row['energy']} {row.get('cycles', '')}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["table"], help="instead of solves")
    options = parser.parse_args()
    if options.what is None:
        torch.set_num_threads(1)
        study = Study(3, FITTED)
        fit = study.tables.fit(parts(study.dataset, SIZE, FOLD)[0])
        z = solutions(study, fit)
        evaluate(Study(3, TESTED), fit, z)


if __name__ == "__main__":
    main()

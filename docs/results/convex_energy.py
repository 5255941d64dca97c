"""What the one optimum of each loss is worth to DFT: the study of ``convex.py`` in space, with energies and SCF cycles.

python docs/results/convex_energy.py          every solve and test structure that is not finished
python docs/results/convex_energy.py table    what is there, into convex.md and its figure

The model is that of the plane, with invariants in space, fitted to points 0.225 Å apart and evaluated 0.15 Å apart. Of
each test structure and each loss: the metrics of the plane, the energy of the density without iterating (Harris and
Foulkes), and for some the cycles in which PySCF converges from it. A line of convex-energy.jsonl each. Once the solves
are there, several of these commands may run at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import convex_energy_page as page
import numpy as np
import torch
from convex_model import Fit
from convex_study import TESTS, TRANSPORT, Solve, Study, measured, parts, short, single
from edframe_pyscf.harris import HarrisFunctional
from edframe_pyscf.li_o_li_geometry import LEVEL
from l2_vs_transport_dft import ENERGIES, cycles_from
from pages import ROOT, put, record, records

from edframe.files import locked
from edframe.sample import Sample

RESULTS = Path(__file__).with_name("convex-energy.jsonl")
PAGE, FIGURE = RESULTS.with_name("convex.md"), ROOT / "docs" / "figures" / "convex-energy.png"
RUNS = ROOT / "runs" / "convex-energy"
SIZE, FOLD = 10, 0
FITTED, TESTED = 32, 48
"""Points along an edge of 7.2 Å: of training samples, which are in memory together, and of test samples."""
ENOUGH, TOL = 1e-4, 1e-4
"""Where transport is stopped, ten times as far from its end as in the plane, and the error of its marginals, too."""
CYCLES = 5
"""Structures of each test whose SCF is started from each loss's density: five seconds each."""
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
                row, done = study.optimum(solve, enough=ENOUGH)
                np.savez_compressed(file, z=done.z)
                record(RESULTS, row)
    return {solve.name: np.load(file)["z"] for solve, file in files.items()}


def chosen(ids: Sequence[int], count: int) -> list[int]:
    """So many of the tests, evenly spread; of fewer than ``ENERGIES`` every so many of these."""
    every = [ids[place] for place in np.linspace(0, len(ids) - 1, ENERGIES).round().astype(int)]
    return every[:: max(1, ENERGIES // count)]


def evaluate(study: Study, fit: Fit, z: Mapping[str, np.ndarray]) -> None:
    """A row of energies for each test structure that has none, the two tests by turns, then rows of cycles."""
    tests = parts(study.dataset, SIZE, FOLD)[1:]
    z = {page.NOTHING: np.zeros(fit.turn.shape[1]), **z}
    for make, count, what in ((energies, ENERGIES, ""), (cycles, CYCLES, ", cycles")):
        pairs = list(zip(*(chosen(ids, count) for ids in tests), strict=True))
        for pair in (pair for start in range(4) for pair in pairs[start::4]):  # a part of them is evenly spread, too
            for test, index in zip(TESTS, pair, strict=True):
                sample = study.tables.sample(index)
                key = sample.id + what
                try:
                    with locked(RUNS / f"{key}.lock"):
                        if key in {row["key"] for row in records(RESULTS)}:
                            continue
                        model = study.tables.on(fit, [index])
                        study.tables.forget()
                        row = make(sample, {name: model.predicted(values) for name, values in z.items()})
                        record(RESULTS, {"key": key, "test": test, "group": int(study.dataset.groups[index]), **row})
                except BlockingIOError:  # another command is at it
                    continue
                print(key, row.get("energy", row.get("cycles")), flush=True)


def energies(sample: Sample, predicted: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The energies of densities ``[1, 1, x, y, z]`` in meV per atom, and the metrics of the plane."""
    functional = HarrisFunctional(sample.structure, LEVEL)
    atoms = torch.from_numpy(sample.positions)[None]
    reference = torch.from_numpy(sample.density)[None].double()
    return {
        "energy": {
            name: short(functional.error(density[0].numpy(), sample.density, sample.grid))
            for name, density in predicted.items()
        },
        "metrics": {
            name: {
                metric: short(value.item())
                for metric, value in measured(density, reference, atoms, sample.grid).items()
            }
            for name, density in predicted.items()
        },
    }


def cycles(sample: Sample, predicted: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The SCF cycles from densities, and under "" from PySCF's own start."""
    counted = {name: cycles_from(sample, density[0].numpy()) for name, density in predicted.items()}
    return {"cycles": {"": cycles_from(sample, None), **counted}}


def write() -> None:
    """The tables between their markers in the page, and the figure."""
    rows = records(RESULTS)
    for name, text in page.texts(rows).items():
        put(PAGE, name, text)
    FIGURE.write_bytes(page.figure(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["table"], help="instead of solves")
    options = parser.parse_args()
    if options.what == "table":
        write()
    else:
        torch.set_num_threads(1)
        study = Study(3, FITTED, TOL)
        fit = study.tables.fit(parts(study.dataset, SIZE, FOLD)[0])
        z = solutions(study, fit)
        evaluate(Study(3, TESTED), fit, z)


if __name__ == "__main__":
    main()

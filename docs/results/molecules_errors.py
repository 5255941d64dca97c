"""The errors of the shipped model molecules-hcnof, on molecules that it was not trained on.

    edframe data build qm9-li2025 --set data.file=../shared/data/geometries/qm9_100.xyz
    python docs/results/molecules_errors.py qm9-li2025 ../shared/data/geometries/qm9_100.xyz --step 3 --whole 5
    edframe data build qm9-li2025 --set data.file=../shared/data/geometries/ethanol_100.xyz --set data.samples=20
    python docs/results/molecules_errors.py qm9-li2025 ../shared/data/geometries/ethanol_100.xyz --samples 20 --whole 5
    python docs/results/molecules_errors.py molecules-hcnof

NMAE at about 2500 points of each molecule, drawn by its density, so that each estimate is unbiased; the electrons are
not enforced there. With ``--whole N``, every N-th molecule is predicted at every second point of each axis of its grid,
with the electrons enforced: NMAE, dipole and Coulomb energy of the error. One line of JSON for each molecule.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from edframe_local.drawing import drawn_from
from edframe_pyscf.hcnof import HCNOF
from edframe_pyscf.plugin import HCNOFConfig, QM9Config
from edframe_pyscf.qm9 import QM9

import edframe
from edframe.data.prepared import PreparedDataset
from edframe.data.splits import split
from edframe.grid import Grid
from edframe.metrics.standard import centre_of_atoms, coulomb_error, dipole_error, nmae
from edframe.sample import Sample

LABELLED = 328
"""Molecules that there were when the model was trained; its test part is that of these."""


def samples(dataset: str, file: str | None, count: int | None, step: int) -> Iterator[Sample]:
    """Those that the model was not trained on, of what is labelled: every ``step``-th."""
    if dataset == "qm9-li2025":
        every: PreparedDataset = QM9(QM9Config(file=str(file), samples=count))
        yield from (every[i] for i in range(0, len(every.ids), step))
        return
    every = HCNOF(HCNOFConfig(samples=332))
    if len(every.ids) != LABELLED:
        raise SystemExit(f"{len(every.ids)} molecules are labelled, not the {LABELLED} that the test part is one of")
    parts = split(every.groups, folds=12, fold=0, validation=5, seed=0)
    yield from (every[i] for i in parts.test[::step])


def at_points(model: edframe.Trained, sample: Sample) -> tuple[float, float]:
    """NMAE in % of the model and of superposed atoms, without electrons enforced."""
    featurizer = model._predictor.featurizer
    drawn = drawn_from(featurizer.base, sample, model.contents.species, featurizer.config.cutoff, 2500, 0)
    fractions = torch.from_numpy(drawn.places @ np.linalg.inv(sample.grid.vectors))
    predicted = featurizer.at(sample.structure, sample.grid, fractions, "cpu").baseline[0].T.double().numpy()
    held = (drawn.volume * drawn.target[:, 0]).sum()
    errors = [100 * float((drawn.volume * np.abs(p[:, 0] - drawn.target[:, 0])).sum() / held)
              for p in (predicted, drawn.base)]  # fmt: skip
    return errors[0], errors[1]


def whole(model: edframe.Trained, sample: Sample) -> dict[str, float]:
    """Errors at every second point of each axis."""
    density = sample.density[:, ::2, ::2, ::2]
    grid = Grid.of(sample.grid.vectors, density.shape[1:])
    start = time.process_time()
    predicted = torch.from_numpy(model(sample.structure, grid=grid.shape, electrons=sample.electrons).values)[None]
    seconds = time.process_time() - start
    reference = torch.from_numpy(density * (sample.electrons / density.sum() / grid.voxel_volume)).double()[None]
    centre = torch.as_tensor(centre_of_atoms(sample.structure.cart_coords, grid))[None]
    return {
        "nmae": float(nmae(predicted, reference)),
        "dipole": float(dipole_error(predicted, reference, grid, centre)),
        "coulomb": float(coulomb_error(predicted, reference, grid)),
        "electrons": float(predicted.sum() * grid.voxel_volume - sample.electrons),
        "points": grid.points,
        "seconds": seconds,
    }


def main(dataset: str, file: str | None, count: int | None, step: int, every: int, kelvin: Sequence[int]) -> None:
    """One line for each molecule, then the mean."""
    model = edframe.load("molecules-hcnof")
    rows = []
    for number, sample in enumerate(samples(dataset, file, count, step)):
        points, atoms = at_points(model, sample)
        row = {"id": sample.id, "formula": sample.structure.composition.formula, "nmae at points": points,
               "superposed atoms": atoms}  # fmt: skip
        if dataset == "molecules-hcnof":
            row["kelvin"] = kelvin[int(sample.id.rpartition("-")[2])]
        novelty = model._predictor.novelty(sample.structure)
        row["distance"] = None if novelty is None else float(novelty.distance)
        if every and number % every == 0:
            row["whole"] = whole(model, sample)
        print(json.dumps(row), flush=True)
        rows.append(points)
    print(f"{len(rows)} molecules: mean {np.mean(rows):.3f}%, median {np.median(rows):.3f}%, largest {max(rows):.3f}%")


if __name__ == "__main__":
    import re

    from edframe_pyscf.hcnof import GEOMETRIES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=["qm9-li2025", "molecules-hcnof"])
    parser.add_argument("file", nargs="?", help="of the geometries of qm9-li2025")
    parser.add_argument("--samples", type=int, help="that the dataset was built with")
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every N-th molecule")
    parser.add_argument("--whole", type=int, default=0, metavar="N")
    given = parser.parse_args()
    temperatures = [int(k) for k in re.findall(r"kelvin=(\d+)", GEOMETRIES.read_text(encoding="utf-8"))]
    main(given.dataset, given.file, given.samples, given.step, given.whole, temperatures)

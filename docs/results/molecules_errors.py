r"""The errors of the shipped model molecules-hcnof, on molecules that it was not trained on.

    edframe data build qm9-li2025 --set data.file=../shared/data/geometries/qm9_100.xyz
    python docs/results/molecules_errors.py qm9 --file ../shared/data/geometries/qm9_100.xyz --whole 1
    edframe data build qm9-li2025 --set data.file=../shared/data/geometries/ethanol_100.xyz --set data.samples=20
    python docs/results/molecules_errors.py ethanol --file ../shared/data/geometries/ethanol_100.xyz --samples 20 \
        --whole 1
    python docs/results/molecules_errors.py list --whole 4
    python docs/results/molecules_page.py

NMAE at about 2500 points of each molecule, drawn by its density, so that each estimate is unbiased; the electrons are
not enforced there. With ``--whole N``, every N-th molecule is predicted at every second point of each axis of its
grid, with the electrons enforced: NMAE, dipole, electrons of the atoms, Coulomb energy of the error. One line of JSON
for each molecule, in molecules.jsonl beside this script; what is there is not computed again. molecules_page.py puts
the tables into the page and the model's card.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edframe_orbitals.featurizer import OrbitalsFeaturizer
from edframe_pyscf.hcnof import GEOMETRIES, HCNOF
from edframe_pyscf.plugin import HCNOFConfig, QM9Config
from edframe_pyscf.qm9 import QM9
from pages import ROOT, record, records

import edframe
from edframe.data.prepared import PreparedDataset
from edframe.data.splits import Split, split
from edframe.grid import Grid
from edframe.metrics.basins import basin_electrons
from edframe.metrics.standard import centre_of_atoms, coulomb_error, dipole_error, nmae
from edframe.sample import Sample

RESULTS = Path(__file__).with_name("molecules.jsonl")
FIRST, FOLDS = 341, 24
"""The model was trained on so many molecules of the list, the first ones, but for one of so many parts."""
MODEL = ROOT / "plugins/edframe-models/src/edframe_models/molecules-hcnof"
"""The folder of the shipped model."""


CORES = {"H": 1, "C": 4, "N": 5, "O": 6, "F": 7}
"""Charges of the pseudopotentials' cores."""


def trained_on() -> tuple[HCNOF, Split]:
    """What the model was trained on, and its parts. Raises SystemExit where the labels are others, or not all there."""
    every = HCNOF(HCNOFConfig(samples=FIRST))
    provenance = json.loads((MODEL / "provenance.json").read_text(encoding="utf-8"))
    if every.fingerprint() != provenance["dataset"]["fingerprint"]:
        raise SystemExit(
            f"{len(every.ids)} of the {FIRST} labels that the model was trained on are there, or they differ: "
            f"`edframe data build molecules-hcnof --set data.samples={FIRST}` makes them"
        )
    return every, split(every.groups, folds=FOLDS, fold=0, validation=5, seed=0)


def samples(of: str, file: str | None, count: int | None) -> tuple[PreparedDataset, Sequence[int]]:
    """The dataset, and which of it are tested: those that are labelled, and the model was not trained on."""
    if of == "list":
        labelled, parts = trained_on()
        return labelled, parts.test
    every = QM9(QM9Config(file=str(file), samples=count))
    return every, range(len(every.ids))


def at_points(featurizer: OrbitalsFeaturizer, sample: Sample, points: int = 2500) -> tuple[float, float]:
    """NMAE in % of the model and of its orbitals alone, without electrons enforced."""
    drawn = featurizer.drawn(sample, 0, points)
    fractions = torch.from_numpy(drawn.places @ np.linalg.inv(sample.grid.vectors))
    features = featurizer.at(sample.structure, sample.grid, fractions, "cpu")
    held = (drawn.volume * drawn.target[:, 0]).sum()
    errors = [100 * float((drawn.volume * np.abs(p.double().numpy() - drawn.target[:, 0])).sum() / held)
              for p in (features.baseline[0, 0], features.channels[0, 0])]  # fmt: skip
    return errors[0], errors[1]


def whole(model: edframe.Trained, sample: Sample) -> dict[str, Any]:
    """Errors at every second point of each axis. dipoles: predicted and computed, e·Å. atoms: the electrons nearest to
    each, predicted less computed."""
    density = sample.density[:, ::2, ::2, ::2]
    grid = Grid.of(sample.grid.vectors, density.shape[1:])
    start = time.process_time()
    predicted = torch.from_numpy(model(sample.structure, grid=grid.shape, electrons=sample.electrons).values)[None]
    seconds = time.process_time() - start
    reference = torch.from_numpy(density * (sample.electrons / density.sum() / grid.voxel_volume)).double()[None]
    places = torch.as_tensor(sample.structure.cart_coords)
    centre = torch.as_tensor(centre_of_atoms(sample.structure.cart_coords, grid))[None]
    cores = torch.tensor([CORES[site.specie.symbol] for site in sample.structure], dtype=torch.float64)
    middle = (cores @ places / cores.sum())[None]  # about which the cores have no dipole
    dipoles = [float(dipole_error(torch.zeros_like(d), d, grid, middle)) for d in (predicted.double(), reference)]
    return {
        "nmae": float(nmae(predicted, reference)),
        "dipole": float(dipole_error(predicted, reference, grid, centre)),
        "dipoles": dipoles,
        "atoms": [round(float(x), 4) for x in basin_electrons((predicted - reference)[0, 0], grid, places)],
        "symbols": [site.specie.symbol for site in sample.structure],
        "coulomb": float(coulomb_error(predicted, reference, grid)),
        "charges": [round(q, 4) for q in charges_of(reference[0, 0], grid, places, cores)],
        "electrons": float(predicted.sum() * grid.voxel_volume - sample.electrons),
        "points": grid.points,
        "seconds": seconds,
    }


def charges_of(density: Any, grid: Grid, places: Any, cores: Any) -> list[float]:
    """Charge of each atom in e: its core's less the electrons nearest to it."""
    return [float(q) for q in cores - basin_electrons(density, grid, places)]


def main(of: str, file: str | None, count: int | None, step: int, first: int, every: int) -> None:
    """A line for each molecule that has none yet, then the mean."""
    model = edframe.load("molecules-hcnof")
    kelvin = [int(k) for k in re.findall(r"kelvin=(\d+)", GEOMETRIES.read_text(encoding="utf-8"))]
    done = {row["id"] for row in records(RESULTS)}
    dataset, places = samples(of, file, count)
    for number in range(first, len(places), step):
        if dataset.ids[places[number]] in done:
            continue
        sample = dataset[places[number]]
        points, orbitals = at_points(model._predictor.featurizer, sample)
        row = {"of": of, "id": sample.id, "formula": sample.structure.composition.formula, "nmae": points,
               "orbitals": orbitals, "expected": model._predictor.expected(sample)}  # fmt: skip
        if of == "list":
            row["kelvin"] = kelvin[int(sample.id.rpartition("-")[2])]
        novelty = model._predictor.novelty(sample.structure)
        row["distance"] = None if novelty is None else float(novelty.distance)
        if every and number % every == 0:
            row["whole"] = whole(model, sample)
        record(RESULTS, row)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("of", choices=["qm9", "ethanol", "list"])
    parser.add_argument("--file", help="of the geometries, but for those of the list")
    parser.add_argument("--samples", type=int, help="that the dataset was built with")
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every N-th molecule")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first of them")
    parser.add_argument("--whole", type=int, default=0, metavar="N")
    given = parser.parse_args()
    main(given.of, given.file, given.samples, given.step, given.first, given.whole)

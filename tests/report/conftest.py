"""A run directory as `edframe run` left it, and densities of Gaussians for grids that no tiny run has."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from edframe.grid import Grid
from edframe.runs.directory import Run
from edframe.runs.events import Evaluated, Results, to_lines

WATER = (("O", "H", "H"), np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]))


def density(grid: Grid, positions, weights, sigma: float) -> np.ndarray:
    """Gaussians with their periodic images, ``[1, …]``."""
    total = np.zeros(grid.shape)
    for (position, weight), image in itertools.product(
        zip(positions, weights, strict=True), itertools.product((-1, 0, 1), repeat=grid.dimension)
    ):
        r = grid.coordinates() - position - np.array(image) @ grid.vectors
        total += weight * np.exp(-(r**2).sum(-1) / (2 * sigma**2))
    return total[None].astype(np.float32)


def add_prediction(directory: Path, name: str, grid: Grid, role: str = "worst", id: str = "", baseline: bool = True):
    """Keep one water molecule, cut down to the grid's dimension, at the origin: it straddles the boundary."""
    species, positions = WATER[0], WATER[1][:, : grid.dimension]
    weights = (8.0, 1.0, 1.0)
    tensors = {
        "reference": density(grid, positions, weights, 0.40),
        "predicted": density(grid, positions + 0.02, weights, 0.41),
    }
    if baseline:
        tensors["baseline"] = density(grid, positions, weights, 0.5)
    about = {
        "id": id or name, "role": role, "grid": json.dumps(grid.to_dict()), "species": json.dumps(species),
        "positions": json.dumps(WATER[1].tolist()), "electrons": "10.0", "nmae": "4.2",
    }  # fmt: skip
    (directory / "predictions").mkdir(exist_ok=True)
    save_file(tensors, directory / "predictions" / f"{name}.safetensors", metadata=about)


def without_baseline(event):
    """The event as a featurizer without a baseline would have left it."""
    if not isinstance(event, Evaluated | Results):
        return event
    return replace(event, metrics={key: value for key, value in event.metrics.items() if key != "baseline_nmae"})


def write_events(directory: Path, events) -> None:
    (directory / "metrics.jsonl").write_text(to_lines(events), encoding="utf-8")


@pytest.fixture
def make() -> SimpleNamespace:
    """The functions above, for tests that vary the run."""
    return SimpleNamespace(prediction=add_prediction, without_baseline=without_baseline, write_events=write_events)


@pytest.fixture
def run_dir(finished, tmp_path) -> Path:
    """A copy of the finished tiny run, as it was before its report was written."""
    written = shutil.ignore_patterns("report.html", "references.bib", "figures")
    return Path(shutil.copytree(finished, tmp_path / finished.name, ignore=written))


@pytest.fixture
def events(run_dir):
    """All events of that run."""
    return Run(run_dir).events()

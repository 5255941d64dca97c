"""A run directory as `edframe run` leaves it, made of Gaussians."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from edframe.grid import Grid
from edframe.metrics.standard import UNITS
from edframe.metrics.summary import summarise

WATER = (("O", "H", "H"), np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]))
BIBTEX = "@article{Someone2020,\n  title = {Densities & <more>},\n  doi = {10.1000/xyz}\n}"


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


def events(steps: int = 60, samples: int = 12, baseline: bool = True, first_id: str = "water-00") -> list[dict]:
    """What a finished run writes to metrics.jsonl."""
    rng = np.random.default_rng(0)
    found: list[dict] = []
    for step in range(1, steps + 1):
        found.append({"event": "step", "step": step, "loss": float(np.exp(-step / 20) + 0.01 * rng.random()),
                      "learning_rate": 1e-3 * (1 - step / 61), "gradient_norm": float(rng.random() + 0.1),
                      "seconds": 0.5 * step, "marginal_error": 1e-4})  # fmt: skip
        if step % 20 == 0:
            found.append({"event": "validation", "step": step, "nmae": 60.0 / step, "loss": 1 / step,
                          "seconds": 0.5 * step})  # fmt: skip
    kept = []
    for i in range(samples):
        sample = {"event": "sample", "id": first_id if i == 0 else f"water-{i:02d}", "l2": float(rng.random())}
        sample |= {name: float(rng.random() + 1) for name in UNITS}
        if baseline:
            sample["baseline_nmae"] = float(17 + rng.random())
        kept.append(sample)
    if kept:
        names = [key for key in kept[0] if key not in ("event", "id")]
        found += kept
        found.append({"event": "summary", "samples": samples, "metrics": {
            name: {"unit": UNITS.get(name, "%"), **summarise([s[name] for s in kept]).to_dict()} for name in names
        }})  # fmt: skip
    return found


def write_events(directory: Path, lines: list[dict]) -> None:
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def make() -> SimpleNamespace:
    """The functions above, for tests that vary the run."""
    return SimpleNamespace(prediction=add_prediction, events=events, write_events=write_events)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A complete run with two kept predictions."""
    directory = tmp_path / "20260102-030405-water-ab12"
    directory.mkdir()
    config = {"name": "water-l2", "data": {"name": "water"}, "featurizer": {"name": "sad"},
              "model": {"name": "unet", "width": 16}, "loss": {"name": "l2"}, "seed": 3}  # fmt: skip
    (directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    provenance = {
        "command": ["edframe", "run"], "versions": {"edframe": "0.1.0"}, "git_commit": "abc", "device": "cpu",
        "threads": 2, "seeds": {"root": 3}, "seconds": 252.0, "status": "finished", "references": [BIBTEX, BIBTEX],
        "dataset": {"name": "water", "fingerprint": "f00", "samples": 40, "train": 24, "validation": 4, "test": 12},
    }  # fmt: skip
    (directory / "provenance.json").write_text(json.dumps(provenance))
    write_events(directory, events())
    add_prediction(directory, "a", Grid.of([6.0, 5.0, 5.0], (24, 20, 20)), "worst", "water-00")
    add_prediction(directory, "b", Grid.of([6.0, 5.0, 5.0], (24, 20, 20)), "median", "water-05")
    return directory

"""From a structure file to the density in memory: reading, features, model, for each model that corrects a baseline.

python benchmarks/prediction.py
python benchmarks/prediction.py --device cuda --points 64 128

The structure is Li-O-Li in the shipped 7.2 Å cube. Weights are random: they do not change the time. Each prediction
begins with the file; the first, which imports and allocates, is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from measuring import processor

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.io.structures import read_structures

GOAL = {"cpu": 0.5, "cuda": 64**3 / 25e6}
"""Seconds for 64³ points: two cores; 25 million voxels a second."""

PARTS = ("reading", "features", "model")

MODELS: dict[str, dict[str, Any]] = {"unet": {}, "resunet": {}}


def main() -> None:
    """Print medians in ms and voxels per second, and write them to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=list(GOAL))
    parser.add_argument("--points", type=int, nargs="+", default=[48, 64, 96])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    registry = Registry.discover()
    entry = registry.get("featurizer", "sad")
    featurizer = entry.load()(entry.config(), Contents(("Li", "O"), 3))
    source = registry.get("dataset", "li-o-li")
    structure = source.load()(source.config(samples=8))[0].structure
    rows = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "POSCAR"
        structure.to(str(file), fmt="poscar")
        for name, options in MODELS.items():
            model_entry = registry.get("model", name)
            model = model_entry.load()(
                model_entry.config(**options), channels=len(featurizer.channels), spins=1, dimension=3
            )
            model.to(arguments.device).eval()
            for points in arguments.points:
                laps = [lap(file, points, featurizer, model, arguments.device) for _ in range(arguments.repeats + 1)]
                parts = [1000 * statistics.median(column) for column in zip(*laps[1:], strict=True)]
                total = sum(parts)
                ratio = total / 1000 / GOAL[arguments.device] * 64**3 / points**3
                rows.append(
                    {"model": name, "points": points, "device": arguments.device, "threads": torch.get_num_threads()}
                    | dict(zip((f"{part}, ms" for part in PARTS), (round(p, 2) for p in parts), strict=True))
                    | {"total, ms": round(total, 1), "million voxels/s": round(points**3 / total / 1e3, 2)}
                )
                split = ", ".join(f"{part} {value:6.1f}" for part, value in zip(PARTS, parts, strict=True))
                speed = f"{points**3 / total / 1e3:5.2f} million voxels/s, {ratio:.2f} × the goal's time per voxel"
                print(f"{name:8} {points:4}³: {split}, together {total:7.1f} ms, {speed}")
    table = {"command": "python benchmarks/prediction.py", "processor": processor(), "rows": rows}
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")


def lap(file: Path, points: int, featurizer: Any, model: Any, device: str) -> list[float]:
    """Seconds of reading, features and model, until the density is in the computer's own memory."""
    times = [time.perf_counter()]
    (structure,) = read_structures(file).structures
    times.append(time.perf_counter())
    grid = Grid.of(structure.lattice.matrix, points)
    features = featurizer([structure], grid, device)
    if device == "cuda":
        torch.cuda.synchronize()
    times.append(time.perf_counter())
    model(features.channels, features.baseline, grid, torch.tensor([12.0], device=device)).cpu()
    times.append(time.perf_counter())
    return [b - a for a, b in pairwise(times)]


if __name__ == "__main__":
    main()

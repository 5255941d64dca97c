"""What averaging over the symmetries of the cell does to a trained model's error, and how far it is from equivariance.

OMP_NUM_THREADS=1 python benchmarks/symmetry.py RUN --samples 8

Test samples of the run, evenly drawn. The second column is the NMAE between the density of the turned sample, turned
back, and that of the sample, averaged over the symmetries: zero for a model that turns its density with the atoms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.data.loading import Loader
from edframe.metrics.standard import nmae
from edframe.predict.predictor import load_best
from edframe.predict.symmetry import Symmetrised
from edframe.runs.build import build
from edframe.runs.directory import Run


def main() -> None:
    """Print a row per sample and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder made by edframe run")
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()
    run, registry = Run.open(arguments.run), Registry.discover()
    experiment, _ = resolve(registry, run.path / "config.yaml")
    parts = build(experiment, registry, lambda done, total: None)
    load_best(parts.model, run)
    model, loader = Symmetrised(parts.model).eval(), Loader(parts.dataset, parts.featurizer, "cpu")
    chosen = np.linspace(0, len(parts.split.test) - 1, arguments.samples).round().astype(int)
    print("| sample | NMAE between turned densities, % | NMAE, % | of the mean of all, % |\n|---|---|---|---|")
    rows = []
    for place in chosen:
        batch = loader.batch([parts.split.test[place]])
        features = batch.features
        with torch.no_grad():
            densities = list(model.turned(features.channels, features.baseline, batch.grid, batch.electrons))
        spread = np.mean([float(nmae(density, densities[0])) for density in densities[1:]])
        mean = torch.stack(densities).mean(0)
        rows.append([spread, float(nmae(densities[0], batch.density)), float(nmae(mean, batch.density))])
        print(f"| {batch.samples[0].id} | " + " | ".join(f"{value:.3g}" for value in rows[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3g}" for value in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()

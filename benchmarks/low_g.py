"""Whether the Coulomb energy in the loss lowers the error in long waves: small models of the plane of Li–O–Li.

    OMP_NUM_THREADS=1 python benchmarks/low_g.py [--seeds 3] [--steps 200]

The cut through the atoms at 24² points, 100 configurations to train on and 25 to test on; one small U-Net for each loss
and seed, with the same initial weights and batches for all losses. After equal steps: means over the seeds, and the
paired ratio to ``l1`` of each metric, smallest and largest.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measuring import print_table

from edframe.contract.registry import Registry
from edframe.metrics.standard import coulomb_error, low_g_error, nmae

WEIGHTS = {"l1": 0.0, "l1 + 3 coulomb": 3.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()

    def part(kind: str, name: str, options: dict[str, object], *more: object, **named: object) -> object:
        component = registry.find(kind, name).component
        return component.load()(component.config(**options), *more, **named)

    dataset = part("dataset", "li-o-li", {"dimension": 2, "samples": 125})
    samples = [dataset[index] for index in range(len(dataset))]
    grid = samples[0].grid.coarsen(2)
    densities = torch.nn.functional.avg_pool2d(torch.stack([torch.as_tensor(s.density) for s in samples]), 2)
    electrons = densities.flatten(1).double().sum(1) * grid.voxel_volume
    featurizer = part("featurizer", "gaussian", {"channels": "per_atom", "widths": [0.3]}, dataset.contents)
    channels = featurizer([s.structure for s in samples], grid, "cpu").channels
    order = np.random.default_rng(0).permutation(len(samples))
    train, test = order[:100], order[100:]
    absolute, coulomb = part("loss", "l1", {}), part("loss", "coulomb", {})

    found: dict[str, list[list[float]]] = {name: [] for name in WEIGHTS}
    for seed in range(arguments.seeds):
        for name, weight in WEIGHTS.items():
            torch.manual_seed(seed)
            model = part("model", "unet", {"widths": [12, 24, 48], "blocks": [1, 1, 1], "output": "field"},
                         channels=channels.shape[1], spins=1, dimension=2)  # fmt: skip
            optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=arguments.steps)
            batches = np.random.default_rng(seed)
            for _ in range(arguments.steps):
                batch = batches.choice(train, 8, replace=False)
                predicted = model(channels[batch], None, grid, electrons[batch])
                value = absolute(predicted, densities[batch], grid).mean()
                if weight:
                    value = value + weight * coulomb(predicted, densities[batch], grid).mean()
                optimiser.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            with torch.no_grad():
                pair = model(channels[test], None, grid, electrons[test]), densities[test]
            metrics = nmae(*pair), coulomb_error(*pair, grid), low_g_error(*pair, grid)
            found[name].append([metric.mean().item() for metric in metrics])
            print(name, seed, [f"{number:.3g}" for number in found[name][-1]], flush=True)
    base = np.array(found["l1"])
    rows = []
    for name, values in found.items():
        ratio = np.array(values) / base
        cells = [
            f"{mean:.3g}" + ("" if name == "l1" else f" (×{low:.2g}–{high:.2g})")
            for mean, low, high in zip(np.mean(values, 0), ratio.min(0), ratio.max(0), strict=True)
        ]
        rows.append((name, *cells))
    print_table(("loss", "NMAE, %", "coulomb_error, eV/e", "low_g_error, eV/e"), rows)


if __name__ == "__main__":
    main()

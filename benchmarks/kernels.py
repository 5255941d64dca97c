"""The losses of edframe-kernel: what a training step pays for them, and how they are related to transport.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py cost
    OMP_NUM_THREADS=1 python benchmarks/kernels.py relation
    OMP_NUM_THREADS=1 python benchmarks/kernels.py points

cost: processor time of value and gradient at 32³, 48³ and 64³, periodic and open, each loss in turn in one process;
the best of several, and the ratio to ``l2``. The kernel of a grid is computed before.

relation: densities of Li–O–Li on 24³ points, changed in five ways and by several amounts each, against themselves:
the root of ``coulomb``, that of ``energy`` and the NMAE over the transport distance W₂ = √(2 sinkhorn), smallest and
largest.

points: geomloss's SamplesLoss, as the loss ``geomloss`` has it, against ``sinkhorn``, ``mmd`` and ``energy`` on the
same densities in an open box: time of value and gradient, and how far both are off.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from measuring import duration, print_table
from problems import gaussians
from torch import Tensor

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe.metrics.coulomb import COULOMB

LOSSES = ("l2", "coulomb", "low-g", "mmd", "energy", "sinkhorn")
SIDE = 7.2
SAMPLES = (0, 62, 124)
AMOUNTS = (0.25, 0.5, 1.0)


def cost(registry: Registry, repeats: int) -> None:
    """Milliseconds of processor time, and the ratio to l2."""
    rows = []
    for periodic in (True, False):
        for n in (32, 48, 64):
            grid = Grid.of([SIDE] * 3, n, periodic)
            middle = np.full((3, 3), SIDE / 2) + np.array([[0.0, 0.1, 0.0], [1.0, 0.9, 0.0], [-1.0, 0.8, 0.1]])
            fields = [gaussians(grid, middle + shift, (0.4, 0.5, 0.5)) for shift in (0.0, 0.08)]
            predicted, reference = (torch.tensor(field, dtype=torch.float32)[None, None] for field in fields)
            times = {}
            for name in LOSSES:
                here = made(registry, name)
                times[name] = min(step(here, predicted, reference, grid) for _ in range(repeats))
            cells = [f"{1e3 * times[name]:.3g} ms ({times[name] / times['l2']:.3g})" for name in LOSSES]
            rows.append((f"{n}³ {'periodic' if periodic else 'open'}", *cells))
    print_table(("grid", *LOSSES), rows)


def step(here: Loss, predicted: Tensor, reference: Tensor, grid: Grid) -> float:
    leaf = predicted.clone().requires_grad_()
    start = time.process_time()
    here(leaf, reference, grid).sum().backward()
    return time.process_time() - start


def changes(grid: Grid, positions: np.ndarray) -> dict[str, Callable[[Tensor, float], Tensor]]:
    """Ways to change a density, by an amount; the number of electrons stays."""
    k = [2 * math.pi * torch.tensor(np.fft.fftfreq(n, h)) for n, h in zip(grid.shape, grid.spacing, strict=True)]
    waves = torch.stack(torch.meshgrid(*k, indexing="ij"))
    squared = waves.square().sum(0)
    r = torch.tensor(grid.coordinates())

    def shifted(rho: Tensor, amount: float) -> Tensor:
        """All of it, by 0.1 Å."""
        return torch.fft.ifftn(torch.fft.fftn(rho) * torch.exp(-0.1j * amount * waves[0])).real

    def blurred(rho: Tensor, amount: float) -> Tensor:
        """By a Gaussian of 0.15 Å."""
        return torch.fft.ifftn(torch.fft.fftn(rho) * torch.exp(-squared * (0.15**2 * amount) / 2)).real

    def transferred(rho: Tensor, amount: float) -> Tensor:
        """0.1 electrons from the second atom to the first, in Gaussians of 0.5 Å."""
        near = [torch.exp(-(r - torch.tensor(place)).square().sum(-1) / (2 * 0.5**2)) * rho for place in positions[:2]]
        unit = [part / (part.sum() * grid.voxel_volume) for part in near]
        return rho + 0.1 * amount * (unit[0] - unit[1])

    def modulated(rho: Tensor, amount: float, wave: int) -> Tensor:
        changed = rho * (1 + 0.1 * amount * torch.cos(2 * math.pi * wave * r[..., 0] / SIDE + 0.7))
        return changed * (rho.sum() / changed.sum())

    return {
        "shift": shifted,
        "blur": blurred,
        "transfer between atoms": transferred,
        "times a long wave, 7.2 Å": lambda rho, amount: modulated(rho, amount, 1),
        "times a short wave, 0.9 Å": lambda rho, amount: modulated(rho, amount, 8),
    }


def relation(registry: Registry) -> None:
    """√coulomb, √energy and the NMAE over W₂ by the kind of error, and their correlation over all."""
    component = registry.find("dataset", "li-o-li").component
    dataset = component.load()(component.config(grid=24, samples=125))
    named = {name: made(registry, name) for name in ("coulomb", "energy", "l1")}
    named["sinkhorn"] = made(registry, "sinkhorn", tol=1e-4)
    found: dict[str, list[tuple[float, ...]]] = {}
    for index in SAMPLES:
        sample = dataset[index]
        ways = changes(sample.grid, sample.structure.cart_coords)
        rho = torch.from_numpy(np.asarray(sample.density))[0].double()
        rho = ways["blur"](rho, (0.35 / 0.15) ** 2)  # by one voxel, so that the grid resolves it
        for kind, change in ways.items():
            for amount in AMOUNTS:
                pair = change(rho, amount).clamp(min=0)[None, None], rho[None, None]
                value = {name: here(*pair, sample.grid).item() for name, here in named.items()}
                w2 = math.sqrt(2 * value["sinkhorn"])
                found.setdefault(kind, []).append(
                    (w2, math.sqrt(value["coulomb"]), math.sqrt(value["energy"]), 100 * value["l1"])
                )
    rows = []
    for kind, values in found.items():
        w2, coulomb, energy, l1 = np.array(values).T
        density = (coulomb / w2) ** 2 / (2 * math.pi * COULOMB)
        rows.append(
            (kind, f"{w2.min():.2g}–{w2.max():.2g}", ratios(coulomb / w2), ratios(energy / w2), ratios(l1 / w2),
             ratios(density))
        )  # fmt: skip
    print_table(
        ("error", "W₂, Å", "√coulomb / W₂, √eV/Å", "√energy / W₂", "NMAE / W₂, %/Å", "coulomb / 2πe²W₂², e/Å³"), rows
    )
    w2, *others = np.log(np.concatenate([np.array(values) for values in found.values()])).T
    for name, x in zip(("√coulomb", "√energy", "NMAE"), others, strict=True):
        spread = math.exp(np.std(x - w2))
        print(
            f"{name}: correlation of its logarithm with that of W₂ {np.corrcoef(x, w2)[0, 1]:.3f}, factor {spread:.2f}"
        )


def points(registry: Registry) -> None:
    """Times, and errors against edframe's losses on the grid."""
    rows = []
    for n in (10, 12):
        grid = Grid.of([SIDE] * 3, n, False)
        middle = np.full((3, 3), SIDE / 2) + np.array([[0.0, 0.1, 0.0], [1.0, 0.9, 0.0], [-1.0, 0.8, 0.1]])
        fields = [gaussians(grid, middle + shift, (0.9, 1.0, 1.0)) for shift in (0.0, 0.2)]
        predicted, reference = (torch.tensor(field)[None, None] for field in fields)
        own = {
            "sinkhorn": graded(made(registry, "sinkhorn", tol=1e-6), predicted, reference, grid),
            "energy": graded(made(registry, "energy"), predicted, reference, grid),
            "gaussian": graded(made(registry, "mmd"), predicted, reference, grid),
        }
        for distance, options in (
            ("sinkhorn", {"scaling": 0.5}),
            ("sinkhorn", {"scaling": 0.9}),
            ("sinkhorn", {"scaling": 0.97}),
            ("energy", {}),
            ("gaussian", {}),
        ):
            here = made(registry, "geomloss", distance=distance, **options)
            seconds, value, gradient = graded(here, predicted, reference, grid)
            seconds_own, value_own, gradient_own = own[distance]
            count = here.with_diagnostics(predicted, reference, grid)[1]["points"].item()
            if distance != "sinkhorn":  # geomloss has densities of one electron
                electrons = reference.sum().item() * grid.voxel_volume
                value_own, gradient_own = value_own / electrons, gradient_own / electrons
            seen = gradient.abs() > 1e-9 * gradient.abs().max()  # points that are left out have none
            off = gradient[seen] - gradient[seen].mean() - (gradient_own[seen] - gradient_own[seen].mean())
            scale = (gradient_own[seen] - gradient_own[seen].mean()).norm()
            rows.append(
                (f"{n}³, {count:.0f} points", " ".join([distance, *(f"scaling {x}" for x in options.values())]),
                 duration(seconds), f"{seconds / seconds_own:.3g}", f"{abs(value / value_own - 1):.1g}",
                 f"{(off.norm() / scale).item():.1g}")
            )  # fmt: skip
    print_table(("grid", "geomloss", "time", "÷ edframe", "error of value", "error of gradient"), rows)


def made(registry: Registry, name: str, **options: object) -> Loss:
    component = registry.find("loss", name).component
    found: Loss = component.load()(component.config(**options))
    return found


def graded(here: Loss, predicted: Tensor, reference: Tensor, grid: Grid) -> tuple[float, float, Tensor]:
    """Processor time (the better of two), value and gradient."""
    best = math.inf
    for _ in range(2):
        leaf = predicted.clone().requires_grad_()
        start = time.process_time()
        value = here(leaf, reference, grid).sum()
        value.backward()
        best = min(best, time.process_time() - start)
    return best, value.item(), leaf.grad


def ratios(values: np.ndarray) -> str:
    """Smallest and largest."""
    return f"{values.min():.3g}–{values.max():.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=("cost", "relation", "points"))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    if arguments.section == "cost":
        cost(registry, arguments.repeats)
    elif arguments.section == "relation":
        relation(registry)
    else:
        points(registry)


if __name__ == "__main__":
    main()

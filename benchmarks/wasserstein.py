"""What exact and sliced transport cost and say, beside the Sinkhorn divergence, on pairs of Li–O–Li densities.

python benchmarks/wasserstein.py

One line for each pair and loss: value in Å², seconds for the value, seconds for value and gradient, diagnostics.
"""

from __future__ import annotations

import time

import torch

from edframe.contract.registry import Registry

PAIRS = [(0, 1), (0, 30), (0, 312), (0, 624)]
"""Indices into the 625 configurations: from neighbours to the two ends."""

LOSSES = [
    ("sinkhorn", {}),
    *(("wasserstein", {"max_points": n}) for n in (1000, 2000, 3000)),
    *(("sliced", {"directions": n}) for n in (12, 30, 300)),
]


def main() -> None:
    """Measure every loss on every pair, on one thread."""
    torch.set_num_threads(1)
    registry = Registry.discover()
    component = registry.find("dataset", "li-o-li").component
    samples = component.load()(component.config())
    print(f"{samples[0].grid.shape} points, {samples[0].grid.spacing.max():.2f} Å, one thread")
    for pair in PAIRS:
        a, b = (torch.from_numpy(samples[index].density)[None] for index in pair)
        for name, options in LOSSES:
            component = registry.find("loss", name).component
            loss = component.load()(component.config(**options))
            loss(a, b, samples[0].grid)  # imports and first allocations
            start = time.perf_counter()
            value, diagnostics = loss.with_diagnostics(a, b, samples[0].grid)
            middle = time.perf_counter()
            loss(a.clone().requires_grad_(), b, samples[0].grid).sum().backward()
            end = time.perf_counter()
            named = ", ".join(f"{key} {number.item():.3g}" for key, number in diagnostics.items())
            label = " ".join([name, *(f"{key}={n}" for key, n in options.items())])
            times = f"{middle - start:6.2f} s {end - middle:6.2f} s"
            print(f"{pair!s:>10}  {label:<28} {value.item():.5f} Å²  {times}  {named}", flush=True)


if __name__ == "__main__":
    main()

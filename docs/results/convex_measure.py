"""What each loss is blind to, and what it costs to evaluate: the second half of ``convex.md``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from convex_model import Array, Tables
from convex_modes import costs, modes, waves
from convex_solver import Remembered

from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Loss
from edframe.train.peak_memory import forget_peak, peak_memory

MOLECULE = "li-o-li-12-12"
"""Linear, both bonds 1.62 Å."""
LENGTHS = np.geomspace(0.4, 7.2, 24)
COMPONENTS = 3
REPEATS = 5


def blindness(tables: Tables, errors: dict[str, Array], ids: Sequence[int], blurs: tuple[float, ...]) -> dict[str, Any]:
    """Costs of named errors and of waves of one molecule, and of the leading principal components of what the optima of
    some losses leave.

    errors: of the samples ``ids``, ``[n, p]`` in e/Å², by loss. Hessians are taken at the molecule's density, those of
    the components, which belong to no molecule, at the mean density of these samples.
    """
    index = tables.dataset.ids.index(MOLECULE)
    sample = tables.sample(index)
    grid = Grid.of(sample.grid.vectors, sample.grid.shape, periodic=False)
    reference = sample.density[0].ravel().astype(np.float64)
    atoms = sample.positions
    oxygen = [site.specie.symbol for site in sample.structure].index("O")
    lithium = [i for i in range(3) if i != oxygen]
    named = modes(reference, atoms[[lithium[0], oxygen, lithium[1]]], grid)
    curves = waves(reference, atoms[oxygen, 0], grid, LENGTHS)
    both = costs(reference, np.column_stack([*named.values(), curves]), grid, blurs)
    mean = np.mean([tables.sample(i).density[0].ravel().astype(np.float64) for i in ids], 0)
    components, names = [], []
    for loss, error in errors.items():
        _, values, rows = np.linalg.svd(error, full_matrices=False)
        share = values**2 / (values**2).sum()
        components += list(rows[:COMPONENTS])
        names += [f"error left by {loss}, {i + 1}: {100 * share[i]:.0f}%" for i in range(COMPONENTS)]
    fields = np.column_stack(components)
    others = costs(mean, fields - mean[:, None] * (fields.sum(0) / mean.sum()), grid, blurs)
    count = len(named)
    return {
        "named": list(named), "modes": [*named, *names], "lengths": _short(LENGTHS.tolist()),
        "costs": {name: _short(both[name][:count] + others[name]) for name in both},
        "waves": {name: _short(values[count:]) for name, values in both.items()},
    }  # fmt: skip


def evaluations(make: Callable[[str], Loss], names: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """ms and MB of the value and gradient of one sample, by grid and loss: the median of five visits of a prediction
    that moves by 1% of its error, the first not counted, and the most memory in use above that before."""
    registry, device = Registry.discover(), torch.device("cpu")
    table: dict[str, dict[str, list[float]]] = {}
    for dimension in (2, 3):
        dataset = validate(merge(settings=["data.name=li-o-li", f"data.dimension={dimension}"])[0], registry).data.make(
            registry
        )
        sample = dataset[len(dataset) // 2]
        grid = Grid.of(sample.grid.vectors, sample.grid.shape, periodic=False)
        component = registry.get("featurizer", "sad")
        baseline = component.build(component.config(), {}, dataset.contents)([sample.structure], sample.grid, device)
        reference = torch.from_numpy(sample.density)[None].double()
        assert baseline.baseline is not None
        error = baseline.baseline.double() * (reference.sum() / baseline.baseline.sum()) - reference
        if dimension == 2:  # there the superposed atoms are column densities
            error = reference.roll(1, -1) - reference
        rows: dict[str, list[float]] = {}
        for name in names:
            loss, visit, times = make(name), Remembered(), []
            forget_peak(device)
            before = peak_memory(device)
            for repeat in range(REPEATS + 1):
                predicted = (reference + 0.1 * 0.99**repeat * error).requires_grad_()
                begun = time.process_time()
                value = loss.with_diagnostics(predicted, reference, grid, visit)[0]
                torch.autograd.grad(value.sum(), predicted)
                times.append(time.process_time() - begun)
            megabytes = max(0, peak_memory(device) - before) / 1e6
            rows[name] = _short([1e3 * float(np.median(times[1:])), megabytes])
        table["×".join(map(str, sample.grid.shape))] = rows
    return table


def _short(values: Sequence[float]) -> list[float]:
    """To three digits."""
    return [float(f"{value:.3g}") for value in values]

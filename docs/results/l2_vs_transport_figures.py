"""The figures of ``l2-vs-transport.md``: what each loss asks for, what it leaves, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from edframe.comparison.outcome import Outcome
from edframe.comparison.report.examples import examples
from edframe.comparison.report.looks import COLOURS, brief
from edframe.comparison.statistics import Effect
from edframe.config.resolve import merge, validate
from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.report import densities
from edframe.report.slices import through_atoms
from edframe.report.style import DIFFERENCE, INK, panels, png, styled


def ratios(effects: Sequence[Effect], called: Mapping[str, str]) -> bytes:
    """Every mean over that of the reference, with the interval of the difference: a panel for each of ``called``."""
    conditions = list(dict.fromkeys(effect.condition for effect in effects))
    variants = list(dict.fromkeys(effect.variant for effect in effects))
    with styled():
        figure, axes = panels(len(called), 1.8 * len(called), 1.3 + 0.19 * len(variants) * len(conditions))
        for ax, (metric, name) in zip(axes, called.items(), strict=True):
            here = [effect for effect in effects if effect.metric == metric]
            for effect in here:
                place = variants.index(effect.variant)
                colour = COLOURS[(place + 1) % len(COLOURS)]  # the first is the reference's, as in a comparison
                row = conditions.index(effect.condition) + 0.75 * ((place + 0.5) / len(variants) - 0.5)
                middle, low, high = _ratios(effect)
                ax.plot([max(low, 1e-3), high], [row, row], color=colour, linewidth=1.6)
                ax.plot(middle, row, "o", color=colour, markersize=6, markeredgewidth=1.5, label=effect.variant,
                        markerfacecolor=colour if effect.claimed else "white")  # fmt: skip
            ax.axvline(1, color=INK, linewidth=0.7, zorder=0)
            ax.set(title=name.replace(" where ", "\nwhere "), xscale="log", ylim=(len(conditions) - 0.5, -0.5))
            ax.set_xlim(0.4, max(5.0, 1.1 * max(_ratios(effect)[2] for effect in here)))
            wide = ax.get_xlim()[1] > 20
            ticks = [t for t in ((1, 10, 100, 1000) if wide else (0.5, 1, 2, 4)) if t <= ax.get_xlim()[1]]
            ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            ax.minorticks_off()
            ax.set_yticks(range(len(conditions)), [])
        axes[0].set_yticklabels([brief(condition) for condition in conditions])
        handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        title = f"error over that of {effects[0].reference}"
        figure.legend(handles.values(), handles.keys(), title=title, loc="outside lower center", ncols=len(variants))
        return png(figure)


def _ratios(effect: Effect) -> tuple[float, float, float]:
    """The variant's mean over the reference's, and the ends of its interval."""
    difference, low, high = (1 + x / effect.reference_mean for x in (effect.difference, effect.low, effect.high))
    return difference, low, high


def errors(outcomes: Sequence[Outcome], reference: str) -> bytes:
    """Prediction − reference of every loss, in the plane of the test sample on which they differ most."""
    (example,) = examples(outcomes, reference, Registry.discover(), count=1)
    plane = through_atoms(example.positions, example.grid)
    fields = {f"error of {variant}": field - example.reference for variant, field in example.predicted.items()}
    limit = max(float(np.abs(plane.cut(field)).max()) for field in fields.values())
    shown = {"reference density": example.reference}
    with styled():
        return densities.maps(plane, example.grid, example.species, shown, fields, limit, width=12)


def gradients() -> bytes:
    """Error of superposed atoms in the plane of an Li–O–Li, and what each loss makes of it: −ρ̂ δL/δρ̂.

    That is where a model which multiplies the density, as ours do, is told to put electrons, and to take them from.
    """
    registry = Registry.discover()
    layers, _ = merge(choices={"featurizer": "sad"}, settings=["data.samples=25"])
    experiment = validate(layers, registry)
    dataset = experiment.data.make(registry)
    sample = dataset[len(dataset) // 2]
    picture = experiment.featurizer.make(registry, dataset.contents)(
        [sample.structure], sample.grid, torch.device("cpu")
    )
    reference = torch.from_numpy(np.asarray(sample.density))[None].double()
    start = picture.baseline.double()
    start = start * reference.sum() / start.sum()
    shown = {"(a) error, ρ̂ − ρ": (start - reference)[0, 0].numpy()}
    for letter, name in zip("bcd", ("l1", "l2", "sinkhorn"), strict=True):
        loss = validate(merge(choices={"loss": name})[0], registry).loss.make(registry)
        predicted = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(predicted, reference, sample.grid).sum(), predicted)
        slope = slope - (slope * start).sum() / start.sum()  # the model's normalisation takes out what adds electrons
        shown[f"({letter}) −ρ̂ δL/δρ̂, {name}"] = (-start * slope)[0, 0].numpy()
    return _drawn(shown, sample.grid, sample.structure.frac_coords @ sample.grid.vectors)


def _drawn(fields: Mapping[str, Any], grid: Grid, positions: Any) -> bytes:
    plane = through_atoms(positions, grid)
    with styled():
        figure, axes = panels(len(fields), 10, 3.1, layout="compressed")
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            values = plane.cut(field)
            largest = np.abs(values).max()
            mesh = ax.pcolormesh(plane.points[..., 0], plane.points[..., 1], values / largest, cmap=DIFFERENCE,
                                 vmin=-1, vmax=1, shading="gouraud", rasterized=True)  # fmt: skip
            ax.plot(plane.atoms[:, 0], plane.atoms[:, 1], "o", color="black", markersize=2.5)
            ax.set(title=title, xlabel=plane.labels[0], aspect="equal")
        axes[0].set_ylabel(plane.labels[1])
        figure.colorbar(mesh, ax=axes, shrink=0.75, label="fraction of the largest value")
        return png(figure)

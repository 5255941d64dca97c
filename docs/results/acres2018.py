"""Draws what a network of the 2018 recipes learnt in its mixer and first layer, and prints how much of it is learnt.

    edframe run configs/acres2018-2d.yaml
    edframe run configs/acres2018-2d.yaml --set seed=1
    python docs/results/acres2018.py "runs/<run>" "runs/<the run with the other seed>"

Runs of configs/acres2018.yaml are drawn in the plane of the atoms, the kernels at their middle. Writes
``acres2018-filters-2d.png`` (or 3d) and ``acres2018-maps-2d.png`` in docs/figures, and the numbers between the markers
of docs/acres2018.md. A kernel is that of the first convolution after the mixer, both as one: nothing is between
them, so the 16 first features are exactly a convolution of the three channels.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pages import ROOT, put
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from edframe.config.resolve import resolve
from edframe.contract.registry import Registry
from edframe.data.loading import Loader
from edframe.report.style import DENSITY, DIFFERENCE, INK, png, styled
from edframe.runs.build import Parts, build
from edframe.runs.directory import Run
from edframe.train.checkpoint import BEST
from edframe.train.loop import validation_means

FIGURES, PAGE = ROOT / "docs" / "figures", ROOT / "docs" / "acres2018.md"
MIXER, FIRST = "network.mixer.weight", "network.encoder.0.0.first.convolution.weight"
ATOMS = ("Li, left", "O", "Li, right")
SAMPLES = 16
"""Test samples from which the statistics are taken."""
SEEN = 0.999
"""Share of the square of the network's input in the directions that count as seen."""
SHOWN = "li-o-li-03-23"
"""Sample of which maps are drawn: an angle of 150° and bonds of 1.38 and 1.86 Å; in whichever part of the split."""


@dataclass(frozen=True)
class Layer:
    """The first layer. mixer ``[feature, atom]``; kernels ``[feature, atom, x, y(, z)]``: mixer and convolution."""

    mixer: NDArray[np.float64]
    kernels: NDArray[np.float64]

    @classmethod
    def of(cls, model: nn.Module) -> Layer:
        state = model.state_dict()
        mixer = state[MIXER].double().flatten(1)[:, : len(ATOMS)]  # the fourth input, a baseline, is 0
        first = state[FIRST].double()
        return cls(mixer.numpy(), torch.einsum("of...,fa->oa...", first, mixer).numpy())

    @property
    def flat(self) -> NDArray[np.float64]:
        """Kernels ``[feature, atom x y (z)]``."""
        return self.kernels.reshape(len(self.kernels), -1)

    def maps(self, seen: Tensor) -> NDArray[np.float64]:
        """What the layer makes of the input ``[b, atom, x, y(, z)]`` of a periodic cell: ``[b, feature, …]``, ≥ 0."""
        axes = seen.ndim - 2
        convolve = F.conv2d if axes == 2 else F.conv3d
        padded = F.pad(seen, (1,) * (2 * axes), mode="circular")
        return np.asarray(convolve(padded, torch.from_numpy(self.kernels)).clamp_min(0))


@dataclass(frozen=True)
class Trained:
    """A run: its first layer before and after training, and the built experiment with the learnt weights."""

    parts: Parts
    initial: Layer
    learnt: Layer

    @classmethod
    def of(cls, path: Path) -> Trained:
        registry = Registry.discover()
        run = Run.open(path)
        experiment, _ = resolve(registry, path / "config.yaml")
        parts = build(experiment, registry, lambda done, total: None)
        initial = Layer.of(parts.model)
        parts.model.load_state_dict(run.load_tensors(BEST)[0])
        return cls(parts, initial, Layer.of(parts.model))

    def error(self, indices: list[int], kernels: NDArray[np.float64]) -> float:
        """NMAE in % over samples, of the learnt network with other kernels in its first layer."""
        model = copy.deepcopy(self.parts.model)
        mixer, first = model.get_parameter(MIXER).data.zero_(), model.get_parameter(FIRST).data.zero_()
        for atom in range(len(ATOMS)):  # the mixer passes each atom on as a feature, the convolution does the rest
            mixer[atom, atom] = 1
            first[:, atom] = torch.from_numpy(kernels[:, atom])
        loader = Loader(self.parts.dataset, self.parts.featurizer, "cpu")
        return validation_means(model.eval(), self.parts.loss, loader, indices)[0]

    def seen(self, indices: list[int]) -> Tensor:
        """What the network sees of samples: √c/(1+√c) of the channels, ``[b, atom, x, y(, z)]``."""
        loader = Loader(self.parts.dataset, self.parts.featurizer, "cpu")
        channels = torch.cat([loader.batch([i]).features.channels for i in indices]).double().sqrt()
        return channels / (1 + channels)


def matched(a: Layer, b: Layer) -> float:
    """Mean cosine between kernels, each of ``a`` paired with one of ``b`` so that the sum is largest."""
    unit = [layer.flat / np.linalg.norm(layer.flat, axis=1, keepdims=True) for layer in (a, b)]
    cosines = unit[0] @ unit[1].T
    return float(cosines[linear_sum_assignment(-cosines)].mean())


def cka(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Linear centred kernel alignment of maps ``[b, feature, …]`` over all points (Kornblith et al. 2019): 0 to 1,
    blind to rotations and to a common scale of the features."""
    x, y = (m.swapaxes(0, 1).reshape(m.shape[1], -1) for m in (a, b))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return float(np.sum((x @ y.T) ** 2) / np.linalg.norm(x @ x.T) / np.linalg.norm(y @ y.T))


def directions(seen: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal directions ``[patch, direction]`` of the input's patches of 3 points per axis, and their shares of its
    square."""
    padded = F.pad(seen, (1,) * (2 * (seen.ndim - 2)), mode="circular")
    for axis in range(2, seen.ndim):
        padded = padded.unfold(axis, 3, 1)
    flat = padded.movedim(1, seen.ndim - 1).reshape(-1, seen.shape[1] * 3 ** (seen.ndim - 2)).numpy()
    values, vectors = np.linalg.eigh(flat.T @ flat)
    return vectors[:, ::-1], values[::-1] / values.sum()


def numbers(one: Trained, other: Trained) -> str:
    """The table of the page."""
    indices = list(one.parts.split.test[:: max(1, len(one.parts.split.test) // SAMPLES)][:SAMPLES])
    seen = one.seen(indices)
    maps = {
        name: layer.maps(seen)
        for name, layer in (
            ("initial", one.initial), ("learnt", one.learnt), ("other", other.learnt), ("other initial", other.initial),
        )
    }  # fmt: skip
    vectors, shares = directions(seen)
    count = int(np.searchsorted(np.cumsum(shares), SEEN)) + 1

    def unseen(kernels: NDArray[np.float64]) -> float:
        inside = np.linalg.norm(kernels @ vectors[:, :count]) ** 2
        return 100 * float(1 - inside / np.linalg.norm(kernels) ** 2)

    inside = (one.learnt.flat @ vectors[:, :count] @ vectors[:, :count].T).reshape(one.learnt.kernels.shape)
    change = one.learnt.flat - one.initial.flat
    along = (one.learnt.flat * one.initial.flat).sum(1)
    kept = along / np.linalg.norm(one.learnt.flat, axis=1) / np.linalg.norm(one.initial.flat, axis=1)
    rows = [
        ("cosine of a learnt kernel with itself before training, mean", f"{kept.mean():.2f}"),
        ("cosine of the learnt kernels of two seeds, best pairs, mean", f"{matched(one.learnt, other.learnt):.2f}"),
        ("the same before training, which is chance", f"{matched(one.initial, other.initial):.2f}"),
        ("CKA of the maps of two seeds, learnt", f"{cka(maps['learnt'], maps['other']):.3f}"),
        ("the same before training", f"{cka(maps['initial'], maps['other initial']):.3f}"),
        ("CKA of the maps before and after training, one seed", f"{cka(maps['initial'], maps['learnt']):.3f}"),
        (
            f"directions, of {len(shares)}, with {100 * SEEN:g}% of the input's square",
            str(count),
        ),
        ("share of the learnt kernels' square outside of them", f"{unseen(one.learnt.flat):.0f}%"),
        ("share of the initial kernels' square outside of them", f"{unseen(one.initial.flat):.0f}%"),
        ("share of the change in training outside of them", f"{unseen(change):.0f}%"),
        (f"NMAE on {len(indices)} test samples, %", f"{one.error(indices, one.learnt.kernels):.1f}"),
        ("the same with the kernels as before training", f"{one.error(indices, one.initial.kernels):.1f}"),
        ("the same with the part of the learnt kernels in these directions alone", f"{one.error(indices, inside):.1f}"),
    ]
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def filters(one: Trained, other: Trained) -> bytes:
    """Mixers, then the kernels of each atom; rows: before training, learnt, learnt with the other seed."""
    from matplotlib.figure import Figure

    rows = [("before training", one.initial), ("learnt", one.learnt), ("learnt, other seed", other.learnt)]
    limit = max(max(np.abs(layer.mixer).max(), np.abs(_middle(layer)).max()) for _, layer in rows)
    scale: dict[str, Any] = {"cmap": DIFFERENCE, "vmin": -limit, "vmax": limit, "aspect": "auto"}
    features = len(one.learnt.mixer)
    with styled():
        figure = Figure(figsize=(10, 8.0), layout="constrained")
        axes = figure.subplots(6, 1, height_ratios=[3, 8] * 3)
        size = one.learnt.kernels.shape[2] + 1
        for row, (title, layer) in enumerate(rows):
            above, below = axes[2 * row], axes[2 * row + 1]
            above.imshow(layer.mixer.T, **scale)
            above.set_title(f"({'abc'[row]}) {title}: the mixer, and below it mixer and first convolution in one")
            above.set(xticks=[], yticks=range(3), yticklabels=ATOMS)
            drawn = below.imshow(_tiles(_middle(layer)), **scale)
            below.set(xticks=np.arange(features) * size + 1, yticks=np.arange(3) * size + 1, yticklabels=ATOMS,
                      xticklabels=range(features))  # fmt: skip
            for ax in (above, below):
                ax.tick_params(length=0)
                ax.spines[:].set_visible(False)
        axes[-1].set_xlabel("feature; each kernel is 3 × 3 points of the grid")
        figure.colorbar(drawn, ax=list(axes), label="weight", location="bottom", aspect=60, pad=0.01, shrink=0.8)
        return png(figure)


def _middle(layer: Layer) -> NDArray[np.float64]:
    """Kernels ``[feature, atom, x, y]``; in 3D the middle layer."""
    return layer.kernels if layer.kernels.ndim == 4 else layer.kernels[..., layer.kernels.shape[-1] // 2]


def _tiles(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[atom y, feature x]`` with a gap between kernels, y upwards."""
    features, atoms, size, _ = kernels.shape
    sheet = np.full((atoms * (size + 1) - 1, features * (size + 1) - 1), np.nan)
    for f in range(features):
        for a in range(atoms):
            across, down = f * (size + 1), a * (size + 1)
            sheet[down : down + size, across : across + size] = kernels[f, a].T[::-1]
    return sheet


def pictures(one: Trained) -> bytes:
    """All first features of one sample, before training and after, on one scale; the input and the density beside."""
    from matplotlib.colors import LogNorm, PowerNorm
    from matplotlib.figure import Figure

    index = list(one.parts.dataset.ids).index(SHOWN)
    sample = one.parts.dataset[index]
    seen = one.seen([index])
    side = sample.structure.lattice.a
    atoms = sample.structure.cart_coords - side / 2
    extent = np.array([-0.5, sample.grid.shape[0] - 0.5] * 2) * sample.grid.spacing[0] - side / 2
    rows = [("before training", one.initial), ("learnt", one.learnt)]
    every = [layer.maps(seen)[0] for _, layer in rows]
    norm = PowerNorm(0.5, 0, max(maps.max() for maps in every))  # a square root, for the weak ones to be seen
    with styled():
        figure = Figure(figsize=(10, 4.1), layout="compressed")
        axes = figure.subplots(4, 9)
        for ax in axes[:, 0]:
            ax.set_axis_off()
        for block, ((title, _), maps) in enumerate(zip(rows, every, strict=True)):
            for line, members in enumerate(np.array_split(np.arange(len(maps)), 2)):
                for ax, f in zip(axes[2 * block + line, 1:], members, strict=True):
                    drawn = _picture(ax, _plane(maps[f]), extent, atoms, norm)
                    ax.set_title(f"{f}", fontsize=7.5, pad=2)
            axes[2 * block, 0].text(
                0, 0.9, f"({'ab'[block]}) {title}", fontsize=8.5, transform=axes[2 * block, 0].transAxes
            )
        for line, (title, field) in enumerate((("O input", seen[0, 1]), ("density", sample.density[0]))):
            plane = _plane(field)
            _picture(axes[1 + 2 * line, 0], plane, extent, atoms, LogNorm(plane.max() / 1e4, plane.max()))
            axes[1 + 2 * line, 0].set_title(f"{title}, log", fontsize=7.5, pad=2)
        figure.colorbar(drawn, ax=list(axes.flat), label="feature after the first ReLU", aspect=40, pad=0.01)
        return png(figure)


def _plane(field: Any) -> NDArray[np.float64]:
    """``[x, y]`` of a field; in 3D the plane of the atoms."""
    values = np.asarray(field, dtype=float)
    return values if values.ndim == 2 else values[..., values.shape[2] // 2]


def _picture(ax: Any, values: NDArray[np.float64], extent: Any, atoms: NDArray[np.float64], norm: Any) -> Any:
    drawn = ax.imshow(np.maximum(values, norm.vmin).T, origin="lower", extent=extent, cmap=DENSITY, norm=norm)
    ax.plot(
        atoms[:, 0], atoms[:, 1], "o", markersize=2, markerfacecolor="white", markeredgecolor=INK, markeredgewidth=0.4
    )
    ax.set(xlim=(-2.6, 2.6), ylim=(-2, 2.4))
    ax.set_axis_off()
    return drawn


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    one, other = (Trained.of(Path(argument)) for argument in sys.argv[1:])
    dimension = one.parts.dataset.contents.dimension
    (FIGURES / f"acres2018-filters-{dimension}d.png").write_bytes(filters(one, other))
    (FIGURES / f"acres2018-maps-{dimension}d.png").write_bytes(pictures(one))
    text = numbers(one, other)
    print(text)
    put(PAGE, f"filters-{dimension}d", text)


if __name__ == "__main__":
    main()

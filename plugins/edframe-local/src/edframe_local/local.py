"""The featurizer ``local``: a baseline, corrected by the linear model of the invariants of each point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.contract.registry import Registry
from edframe.errors import DataError
from edframe.grid import Grid, Region
from edframe.interfaces import Contents, Features, Featurizer, FittedFeaturizer, Loss, PointFeaturizer
from edframe.sample import Sample
from edframe_local import linear, refining, subgrid
from edframe_local.base import base_features, with_corrections
from edframe_local.basis import Basis
from edframe_local.drawing import Draw, drawn_from
from edframe_local.evaluation import Contracted
from edframe_local.kinds import kinds_of
from edframe_local.neighbours import Images, Surroundings
from edframe_local.parts import Parts, coordinates_on, evaluated
from edframe_local.plugin import LocalConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

ORDERS = ("two bodies", "three bodies", "more bodies")


class LocalFeaturizer(FittedFeaturizer):
    """The channels of ``base``, then the corrections by body order; the baseline of ``base`` plus their sum.

    The correction of a point is a linear function of the invariants of its surroundings (``Basis``), fitted in closed
    form to points of the training densities, drawn more often where the density is high. Exactly invariant under
    rotations, mirror images, permutations and translations; nothing beyond r_c of a point matters to it. Cost per
    point: linear in the atoms within r_c, whatever the size of the cell; memory: bounded by a part of the grid.

    Sources: Focassio et al., npj Comput. Mater. 9, 87 (2023); Drautz, Phys. Rev. B 99, 014104 (2019).
    """

    def __init__(self, config: LocalConfig, contents: Contents, parts: Mapping[str, Loss] | None = None) -> None:
        self.config = config
        self.contents = contents
        self.losses = parts or {}
        component = Registry.discover().get("featurizer", config.base)
        self.base: Featurizer = component.build(component.config(), {}, contents)
        if not self.base.has_baseline:
            raise DataError(
                f"local corrects the baseline of another featurizer, and {config.base} gives none; use base=atoms"
            )
        self.basis = Basis(
            species=len(contents.species),
            dimension=contents.dimension,
            cutoff=config.cutoff,
            pairs=config.pairs,
            radial=config.radial,
            angular=config.angular,
            triples=config.triples,
            products=config.products,
            kinds=kinds_of(contents.species) if config.kinds == "electronegativity" else (),
        )
        self.coefficients = torch.zeros(0, contents.spins, dtype=torch.float64)

    @property
    def corrections(self) -> Sequence[str]:
        """The parts of the correction."""
        return ORDERS

    @property
    def channels(self) -> list[str]:
        """Those of the base, then each part of the correction, the total's and the magnetisation's."""
        kinds = ("", " of the magnetisation")[: self.contents.spins]
        return [*self.base.channels, *(f"{part}{kind}" for part in self.corrections for kind in kinds)]

    @property
    def has_baseline(self) -> bool:
        """True."""
        return True

    def fit(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """The base where it is fitted, then the coefficients. Raises DataError without samples."""
        if not len(samples):
            raise DataError("local is fitted to training samples, and there are none")
        numbers: dict[str, float] = {}
        if isinstance(self.base, FittedFeaturizer):
            numbers |= {f"{self.config.base}: {name}": value for name, value in self.base.fit(samples).items()}
        draws = self.drawn(samples, self.config.points)
        fitted = linear.fit(self.basis, draws, self.config.weight, self.config.folds, "cpu")
        self.coefficients = fitted.coefficients
        numbers |= {"coefficients": float(self.basis.size), **fitted.numbers}
        return {**numbers, **self.finish(samples, fitted)}

    def finish(self, samples: Sequence[Sample], fitted: linear.Fitted) -> Mapping[str, float]:
        """What follows the closed form: the coefficients by the gradient of ``loss``, where there is one."""
        if not self.losses:
            return {}
        (loss,) = self.losses.values()
        free = torch.zeros_like(fitted.coefficients, requires_grad=True)

        def prepare() -> None:
            self.coefficients = fitted.coefficients + fitted.step(free)

        numbers = refining.refine(self, samples, [free], prepare, loss, self.config.loss_steps, fitted.size_of_step)
        self.coefficients = self.coefficients.detach()
        return numbers

    def drawn(self, samples: Sequence[Sample], points: int) -> list[Draw]:
        """About ``points`` points, an equal part of them of each sample."""
        count = max(1, points // len(samples))
        return [
            drawn_from(self.base, sample, self.contents.species, self.config.cutoff, count, seed)
            for seed, sample in enumerate(samples)
        ]

    def state(self) -> Mapping[str, Shaped[Tensor, "..."]]:
        """The coefficients, and what the base has found."""
        inner = self.base.state() if isinstance(self.base, FittedFeaturizer) else {}
        return {"coefficients": self.coefficients, **{f"base.{name}": tensor for name, tensor in inner.items()}}

    def restore(self, state: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        """Raises DataError for a state of other options or contents."""
        shape = (self.basis.size, self.contents.spins)
        coefficients = state.get("coefficients")
        if coefficients is None or coefficients.shape != shape:
            raise DataError(
                f"what is stored for local has no coefficients of shape {shape}: it is of other options or data"
            )
        self.coefficients = coefficients.double()
        if isinstance(self.base, FittedFeaturizer):
            self.base.restore({name[5:]: tensor for name, tensor in state.items() if name.startswith("base.")})

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels and baseline on the grid. Raises DataError before it was fitted, and where the base does."""
        features = base_features(self.base, structures, grid, device)
        assert features.baseline is not None
        pairs = zip(structures, features.baseline, strict=True)
        with torch.no_grad():
            corrections = torch.stack([self.corrected(structure, grid, base) for structure, base in pairs])
        return with_corrections(features, corrections)

    def at(
        self, structure: Structure, grid: Grid, points: Float[Tensor, "p d"], device: torch.device | str
    ) -> Features:
        """The same at single points, see ``PointFeaturizer``. Raises DataError where the base cannot, too."""
        if not isinstance(self.base, PointFeaturizer):
            raise DataError(f"the featurizer {self.config.base} is not known at single points; use base=atoms")
        features = self.base.at(structure, grid, points, device)
        assert features.baseline is not None
        fractions = points.cpu().double().numpy()
        coordinates = np.where(grid.periodic, fractions % 1.0, fractions) @ grid.vectors
        images, base = self._images(structure, grid), features.baseline[0]
        with torch.no_grad():
            corrections = evaluated(
                self.evaluator(base.T), coordinates.__getitem__, np.arange(len(points)), images, base.device
            )
        return with_corrections(features, corrections[None])

    @torch.no_grad()
    def tiled(self, structure: Structure, grid: Grid, device: torch.device | str) -> Callable[[Region], Features]:
        """The same for parts of the grid, see ``TiledFeaturizer``. Raises DataError where the base cannot, too."""
        parts = Parts(
            self.evaluator, self._images(structure, grid), structure, grid, self.base, device, self.config.interpolation
        )
        return torch.no_grad()(parts.on)

    def corrected(
        self, structure: Structure, grid: Grid, base: Float[Tensor, "s *grid"]
    ) -> Float[Tensor, "part s *grid"]:
        """The parts of the correction of ``base`` ``[s, …]`` in e/Å^d: ``[part, s, …]`` float32 on its device."""
        evaluate, images = self.evaluator(base.flatten(1).T), self._images(structure, grid)
        coordinates = coordinates_on(grid, grid.region().indices(grid))
        which = subgrid.chosen(structure.frac_coords[:, : grid.dimension], grid) if subgrid.halved(grid) else None
        if which is not None and which.rest:
            points = [which.second, which.near, which.probes]
            corrections = evaluated(evaluate, coordinates, np.concatenate(points), images, base.device)
            coarse, exact, probed = torch.split(corrections, [len(part) for part in points], dim=2)
            every = subgrid.interpolated(
                coarse.reshape(*corrections.shape[:2], *(n // 2 for n in grid.shape)), grid.dimension
            )
            off = (every.flatten(2)[:, :, which.probes] - probed).detach().sum(0).abs().mean() * which.rest
            if float(off) <= self.config.interpolation * float(base.sum()):
                near = torch.as_tensor(which.near, device=base.device)
                return every.flatten(2).index_copy(2, near, exact).reshape(every.shape)
        corrections = evaluated(evaluate, coordinates, np.arange(grid.points), images, base.device)
        return corrections.reshape(*corrections.shape[:2], *grid.shape)

    def _images(self, structure: Structure, grid: Grid) -> Images:
        return Images.of(structure, grid, self.contents.species, self.config.cutoff)

    def evaluator(self, base: Float[Tensor, "p s"]) -> Callable[[Surroundings], Float[Tensor, "n part s"]]:
        """What gives the parts of the correction of ``base`` ``[p, s]``: ``[n, part, s]``, n all points of a part of
        the grid, those that fill up too."""
        if not len(self.coefficients):
            raise DataError("local has no coefficients yet: it is fitted by `edframe run`")
        contracted = Contracted.of(self.basis, self.coefficients.to(base.device))
        return lambda around: contracted(*self.basis.sums(around))

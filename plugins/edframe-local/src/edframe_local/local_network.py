"""The featurizer ``local-network``: ``local``, corrected by a network per point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core.structure import Structure
from torch import Tensor

from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Loss, PointFeaturizer
from edframe.sample import Sample
from edframe.seeds import seed_for
from edframe_local import linear, refining
from edframe_local.drawing import SPREAD, judged
from edframe_local.evaluation import Contracted
from edframe_local.local import ORDERS, LocalFeaturizer
from edframe_local.neighbours import Surroundings, surroundings
from edframe_local.network import PointNetwork, train
from edframe_local.parts import ENTRIES
from edframe_local.plugin import LocalNetworkConfig
from edframe_local.posterior import Posterior

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class LocalNetworkFeaturizer(LocalFeaturizer):
    """``local`` with one correction more, by a network that sees the invariants of two and three bodies of a point, its
    base density and the linear answer. It starts from the linear answer, is trained on points drawn from the training
    densities by the mean absolute error, and has every invariance of ``local``."""

    config: LocalNetworkConfig

    def __init__(self, config: LocalNetworkConfig, contents: Contents, parts: Mapping[str, Loss] | None = None) -> None:
        super().__init__(config, contents, parts)
        self.seen = self.basis.sizes[0] + min(config.inputs, self.basis.sizes[1])
        self.network = PointNetwork(self.seen, contents.spins, config.width, config.layers)
        self.posterior = Posterior(config.width)

    @property
    def corrections(self) -> Sequence[str]:
        """Those of ``local``, and the network's."""
        return (*ORDERS, "network")

    def finish(self, samples: Sequence[Sample], fitted: linear.Fitted) -> Mapping[str, float]:
        """The network, from the linear answer; then by the gradient of ``loss`` on whole grids, where there is one."""
        functions, base, answer, target, volume = self._table(samples)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(0, "weights"))
            self.network = PointNetwork(self.seen, self.contents.spins, self.config.width, self.config.layers)
        left = train(
            self.network, functions, base, answer, target, volume,
            steps=self.config.steps, points=self.config.batch, rate=self.config.rate, seed=0,
        )  # fmt: skip
        numbers = {"network: error over the linear one's, at training points": left}
        for loss in self.losses.values():
            weights, rate = list(self.network.parameters()), 0.05 * self.config.rate
            numbers |= refining.refine(self, samples, weights, lambda: None, loss, self.config.loss_steps, rate)
        self.network.eval().requires_grad_(False)
        self.posterior.learn(self.network, functions, base, answer, volume)
        return numbers

    @torch.no_grad()
    def expected_error(self, structure: Structure, grid: Grid) -> float | None:
        """∫|error| of the baseline, e, up to a factor, see ``JudgingFeaturizer``: the posterior's deviation at some
        points, drawn by the base density. None for a state of an older version, and where the base is not known there.
        """
        if not self.posterior.known or not isinstance(self.base, PointFeaturizer):
            return None
        rng = np.random.default_rng(0)
        fractions = rng.random((SPREAD, grid.dimension))
        base = self.base.at(structure, grid, torch.from_numpy(fractions), "cpu").baseline
        assert base is not None
        chosen, volumes = judged(base[0, 0].double().numpy(), grid.volume, rng)
        here = base[0].T[chosen]
        network, contracted = self.network.to("cpu"), Contracted.of(self.basis, self.coefficients)
        coordinates, images = fractions[chosen] @ grid.vectors, self._images(structure, grid)
        total = 0.0
        for around in surroundings(coordinates, images, together=8, entries=ENTRIES):
            two, moments = self.basis.sums(around)
            real = around.points.reshape(-1)
            triples = self.basis.triples_of(moments, self.seen - len(two))
            at, answer = here[torch.as_tensor(real)], contracted(two, moments, triples).sum(1)
            spread = self.posterior.deviations(network.hidden(torch.cat([two, triples]).T, at, answer))
            weight = torch.as_tensor(np.where(real >= 0, volumes[real], 0.0))
            total += float((weight * spread.double() * network.unit(at)[:, 0].double()).sum())
        return total

    def _table(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Points of the samples: what the network sees of the invariants, base, linear answer, target, volume."""
        draws = self.drawn(samples, self.config.table)
        counts = [len(drawn.places) for drawn in draws]
        functions = torch.empty(sum(counts), self.seen)
        answer = torch.empty(sum(counts), self.contents.spins)
        for start, drawn in zip(np.cumsum([0, *counts[:-1]]), draws, strict=True):
            table = linear.tabulated(self.basis, drawn, "cpu")
            rows = slice(start, start + len(table))
            functions[rows], answer[rows] = table[:, : self.seen], (table.double() @ self.coefficients).float()
        base, target, volume = (
            torch.from_numpy(np.concatenate([getattr(drawn, name) for drawn in draws])).float()
            for name in ("base", "target", "volume")
        )
        return functions, base, answer, target, volume

    def state(self) -> Mapping[str, Shaped[Tensor, "..."]]:
        """That of ``local``, the network's weights, and the posterior of its last layer."""
        weights = {f"network.{name}": tensor.detach() for name, tensor in self.network.state_dict().items()}
        posterior = {"posterior.factor": self.posterior.factor} if self.posterior.known else {}
        return {**super().state(), **weights, **posterior}

    def restore(self, state: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        """Raises DataError for a state of other options or contents."""
        super().restore(state)
        weights = {name[8:]: tensor for name, tensor in state.items() if name.startswith("network.")}
        try:
            self.network.load_state_dict(weights)
            if "posterior.factor" in state:  # later than the first runs
                self.posterior.load_state_dict({"factor": state["posterior.factor"]})
        except RuntimeError as error:
            raise DataError(
                f"what is stored for local-network belongs to other options or other data: {error}"
            ) from None
        self.network.eval().requires_grad_(False)

    def evaluator(self, base: Float[Tensor, "p s"]) -> Callable[[Surroundings], Float[Tensor, "n part s"]]:
        """As that of ``local``, with the network's correction as the last part."""
        if not len(self.coefficients):
            raise DataError("local-network has no coefficients yet: it is fitted by `edframe run`")
        contracted = Contracted.of(self.basis, self.coefficients.to(base.device))
        network = self.network.to(base.device)

        def evaluate(around: Surroundings) -> Tensor:
            two, moments = self.basis.sums(around)
            triples = self.basis.triples_of(moments, self.seen - len(two))
            answer, seen = contracted(two, moments, triples), torch.cat([two, triples]).T
            here = base[torch.as_tensor(around.points.reshape(-1), device=base.device)]
            return torch.cat([answer, network(seen, here, answer.sum(1))[:, None]], 1)

        return evaluate

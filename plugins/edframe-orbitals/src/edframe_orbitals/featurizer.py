"""The featurizer ``orbitals``: densities of molecular orbitals, corrected by a network per point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from edframe_local import subgrid
from edframe_local.drawing import SPREAD, Draw, draw, judged
from edframe_local.network import PointNetwork, train
from edframe_local.posterior import Posterior
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from torch import Tensor, nn

from edframe.data.valence import Valence
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents, Features, FittedFeaturizer
from edframe.io.structures import charge_of
from edframe.io.units import BOHR
from edframe.sample import Sample
from edframe_orbitals import fitting
from edframe_orbitals.hamiltonian import Hamiltonian
from edframe_orbitals.ingredients import Prepared, count, ingredients, quantities
from edframe_orbitals.molecule import Molecule
from edframe_orbitals.plugin import OrbitalsConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

BLOCK = 4096
"""Points at once."""
AGREES = 0.05
"""Electrons by which a sample may differ from its atoms and its charge."""


class OrbitalsFeaturizer(FittedFeaturizer):
    """Molecules alone: Σ_i f_i |ψ_i|² of a ``Hamiltonian``, with a correction by a network per point.

    The network sees the ingredients of the orbitals at the point: densities of s and p, of each element, within and
    between atoms, their gradient, Laplacian and energies, bonds, charges. None of them changes when the molecule is
    turned, mirrored or moved. The Hamiltonian is solved for the whole molecule, so that a point knows of what is far
    along its bonds. The channels are the density of the orbitals and the correction; the baseline is their sum.
    """

    def __init__(self, config: OrbitalsConfig, contents: Contents) -> None:
        if contents.spins != 1 or contents.dimension != 3:
            raise DataError(
                f"the featurizer orbitals is made for total densities in three dimensions; the data have "
                f"{contents.spins} spin channels in {contents.dimension}; use local"
            )
        self.config = config
        self.contents = contents
        self.hamiltonian = Hamiltonian(contents.species).requires_grad_(False)
        self.networks = nn.ModuleList(self._network() for _ in range(config.members))
        self.posterior = Posterior(config.width)

    def _network(self) -> PointNetwork:
        return PointNetwork(count(len(self.contents.species)), 1, self.config.width, self.config.layers)

    @property
    def channels(self) -> list[str]:
        """The density of the orbitals, and its correction."""
        return ["orbitals", "correction"]

    @property
    def has_baseline(self) -> bool:
        """True."""
        return True

    def fit(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """The Hamiltonian, then the network. Raises DataError without samples, and for what is no molecule."""
        if not len(samples):
            raise DataError("orbitals is fitted to training samples, and there are none")
        torch.manual_seed(0)
        self.hamiltonian = Hamiltonian(self.contents.species)
        self.hamiltonian.valence.copy_(self._electrons_of(samples))
        places = np.linspace(0, len(samples) - 1, min(len(samples), self.config.orbital_samples)).astype(int)
        some = [self._points(samples[i], i, self.config.orbital_points) for i in np.unique(places).tolist()]
        numbers = {"NMAE of the orbitals / %": fitting.fit(self.hamiltonian, some, self.config.orbital_steps)}
        self.hamiltonian.requires_grad_(False)
        functions, base, target, volume = self._table(samples)
        nothing = torch.zeros_like(base)
        for seed in range(self.config.members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = self._network()
            left = train(
                network, functions, base, nothing, target, volume,
                steps=self.config.steps, points=self.config.batch, rate=self.config.rate, seed=seed,
            )  # fmt: skip
            self.networks[seed] = network.eval().requires_grad_(False)
            numbers[f"network {seed + 1}: error over that of the orbitals, at training points"] = left
        self.posterior.learn(self._first, functions, base, nothing, volume)
        return numbers

    @property
    def _parts(self) -> nn.ModuleDict:
        """All that is fitted."""
        return nn.ModuleDict({"hamiltonian": self.hamiltonian, "networks": self.networks, "posterior": self.posterior})

    @property
    def _first(self) -> PointNetwork:
        network = self.networks[0]
        assert isinstance(network, PointNetwork)
        return network

    def _electrons_of(self, samples: Sequence[Sample]) -> Float[Tensor, "s"]:
        """Valence electrons of each species. Raises DataError where the samples do not determine them."""
        valence = Valence.of(samples, self.contents.species)
        if not valence.settled:
            raise DataError(
                "orbitals must know the valence electrons of each element, and these samples determine sums alone; "
                "use local-network"
            )
        return torch.tensor(valence.electrons, dtype=torch.float64)

    def _electrons(self, kinds: Int[Tensor, "a"], structure: Structure) -> float:
        """Of atoms with the charge of ``structure``, if it has one."""
        return float(self.hamiltonian.valence[kinds].sum()) - charge_of(structure)

    def _solved(self, structure: Structure, molecule: Molecule) -> Prepared:
        """The orbitals of a molecule with the charge of ``structure``, if it has one. Raises DataError where they do
        not hold its electrons."""
        kinds = torch.from_numpy(molecule.kinds)
        electrons = self._electrons(kinds, structure)
        room = 2 * int(torch.where(self.hamiltonian.heavy[kinds], 4, 1).sum())
        if not 0 < electrons <= room:
            raise DataError(
                f"{structure.composition.formula}: its orbitals hold up to {room} electrons, not {electrons:g}"
            )
        solution, _ = self.hamiltonian(kinds, torch.from_numpy(molecule.positions) / BOHR, electrons)
        return Prepared.of(solution, self.hamiltonian.valence)

    def drawn(self, sample: Sample, seed: int, points: int) -> Draw:
        """About ``points`` points of a sample, more where its density is high, and at nuclei; without a base."""

        def nothing(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.zeros((len(fractions), 1))

        return draw(sample, sample.density, self.contents.species, 0.1, points, seed, nothing)

    def _points(self, sample: Sample, seed: int, points: int) -> fitting.Points:
        molecule = Molecule.of(sample.structure, sample.grid, self.contents.species)
        drawn = self.drawn(sample, seed, points)
        which, seen = molecule.near(torch.from_numpy(drawn.places))
        target, volume = torch.from_numpy(drawn.target[:, 0]), torch.from_numpy(drawn.volume)
        kinds, positions = torch.from_numpy(molecule.kinds), torch.from_numpy(molecule.positions)
        atoms = self._electrons(kinds, sample.structure)
        if abs(atoms - sample.electrons) > AGREES:
            raise DataError(
                f"{sample.id}: its atoms and its charge have {atoms:g} valence electrons, and the sample "
                f"{sample.electrons:g}; leave it out, or give its structure its charge"
            )
        return fitting.Points(kinds, positions, sample.electrons, which, seen, target, volume)

    def _table(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points of all samples: ingredients, density of the orbitals, target, volume."""
        points = max(1, self.config.table // len(samples))
        rows = []
        for seed, sample in enumerate(samples):
            drawn = self.drawn(sample, seed, points)
            molecule = Molecule.of(sample.structure, sample.grid, self.contents.species)
            functions, base = self._seen(self._solved(sample.structure, molecule), molecule, drawn.places, "cpu")
            rows.append((functions, base, torch.from_numpy(drawn.target), torch.from_numpy(drawn.volume)))
        functions, base, target, volume = (torch.cat(part).float() for part in zip(*rows, strict=True))
        return functions, base, target, volume

    def _seen(
        self, prepared: Prepared, molecule: Molecule, places: NDArray[np.float64], device: torch.device | str
    ) -> tuple[Float[Tensor, "p i"], Float[Tensor, "p 1"]]:
        """Ingredients and density of the orbitals in e/Å³ at ``places`` ``[p, 3]`` in Å."""
        points = torch.as_tensor(places, dtype=torch.float32, device=device)
        which, seen = molecule.near(points)
        sums = quantities(prepared, seen / BOHR)
        total = sums.new_zeros(len(points), sums.shape[1]).index_add(0, which, sums)
        return ingredients(total, len(self.contents.species)), total[:, :1].clamp_min(0) / BOHR**3

    @torch.no_grad()
    def _evaluated(
        self, structure: Structure, grid: Grid, places: NDArray[np.float64], device: torch.device | str
    ) -> Float[Tensor, "p 2"]:
        """The density of the orbitals and its correction at ``places`` ``[p, 3]`` in Å; e/Å³."""
        if not bool(self.hamiltonian.valence.any()):
            raise DataError("orbitals has no Hamiltonian yet: it is fitted by `edframe run`")
        molecule = Molecule.of(structure, grid, self.contents.species)
        prepared = self._solved(structure, molecule)
        blocks = []
        for block in np.array_split(places, max(1, -(-len(places) // BLOCK))):
            functions, base = self._seen(prepared, molecule, block, "cpu")
            corrections = [network(functions, base, torch.zeros_like(base)) for network in self.networks]
            blocks.append(torch.cat([base, torch.stack(corrections).mean(0)], 1))
        return torch.cat(blocks).to(device)

    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels ``[b, 2, x, y, z]`` and baseline ``[b, 1, x, y, z]`` in e/Å³. Raises DataError before it was fitted,
        and for what is no molecule of the species."""
        return _features(torch.stack([self._on_grid(structure, grid, device) for structure in structures]))

    def _on_grid(self, structure: Structure, grid: Grid, device: torch.device | str) -> Float[Tensor, "2 *grid"]:
        places = grid.coordinates().reshape(-1, 3)
        if subgrid.halved(grid):
            which = subgrid.chosen(structure.frac_coords, grid)
            points = [which.second, which.near, which.probes]
            values = self._evaluated(structure, grid, places[np.concatenate(points)], device).T
            coarse, exact, probed = torch.split(values, [len(part) for part in points], dim=1)
            every = subgrid.interpolated(coarse.reshape(2, *(n // 2 for n in grid.shape)), 3).flatten(1)
            off = (every[:, which.probes] - probed).sum(0).abs().mean() * which.rest if len(which.probes) else 0.0
            if float(off) <= self.config.interpolation * float(every[0].sum()):
                every[:, torch.as_tensor(which.near, device=every.device)] = exact
                return every.reshape(2, *grid.shape)
        return self._evaluated(structure, grid, places, device).T.reshape(2, *grid.shape)

    def at(
        self, structure: Structure, grid: Grid, points: Float[Tensor, "p d"], device: torch.device | str
    ) -> Features:
        """The same at single points, see ``PointFeaturizer``."""
        fractions = points.cpu().double().numpy()
        places = np.where(grid.periodic, fractions % 1.0, fractions) @ grid.vectors
        return _features(self._evaluated(structure, grid, places, device).T[None])

    @torch.no_grad()
    def expected_error(self, structure: Structure, grid: Grid) -> float | None:
        """∫|error| of the baseline, e, up to a factor, see ``JudgingFeaturizer``: the deviation by the posterior of the
        first network, at some points, drawn by the density of the orbitals."""
        rng = np.random.default_rng(0)
        places = rng.random((SPREAD, 3)) @ grid.vectors
        molecule = Molecule.of(structure, grid, self.contents.species)
        prepared = self._solved(structure, molecule)
        functions, base = self._seen(prepared, molecule, places, "cpu")
        chosen, volumes = judged(base[:, 0].double().numpy(), grid.volume, rng)
        functions, base = functions[chosen], base[chosen]
        spread = self.posterior.deviations(self._first.hidden(functions, base, torch.zeros_like(base)))
        return float((torch.from_numpy(volumes) * spread.double() * self._first.unit(base)[:, 0].double()).sum())

    def state(self) -> Mapping[str, Shaped[Tensor, "..."]]:
        """The Hamiltonian, the networks' weights, and the posterior of the first one's last layer."""
        return dict(self._parts.state_dict())

    def restore(self, state: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        """Raises DataError for a state of other options or contents."""
        try:
            self._parts.load_state_dict(dict(state))
        except RuntimeError as error:
            raise DataError(f"what is stored for orbitals belongs to other options or other data: {error}") from None
        self.hamiltonian.requires_grad_(False)
        self.networks.eval().requires_grad_(False)


def _features(values: Float[Tensor, "b 2 *points"]) -> Features:
    return Features(values, values.sum(1, keepdim=True).clamp_min(0))

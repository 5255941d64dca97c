"""What a component must be able to do. Four kinds, four small interfaces.

A factory is called with its validated config and what it must know to be built:

| kind       | call                                                  |
|------------|-------------------------------------------------------|
| dataset    | ``factory(config)``                                   |
| featurizer | ``factory(config, contents)``                         |
| model      | ``factory(config, channels=c, spins=s, dimension=d)`` |
| loss       | ``factory(config)``                                   |

A component made of others, whose options its config holds (``edframe.plugin.OptionsOf``), is given these as ``parts``,
a mapping from their names.

Torch is imported by the implementations, never here. Longer than other modules: the interfaces are read side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edframe.errors import DataError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Shaped
    from pymatgen.core.structure import Structure
    from torch import Tensor

    from edframe.grid import Grid, Region
    from edframe.sample import Sample

__all__ = [
    "Contents", "Dataset", "Features", "Featurizer", "FittedFeaturizer", "FittedModel", "JudgingFeaturizer",
    "Loss", "Model", "PointFeaturizer", "TiledFeaturizer", "TiledModel", "Visit",
]  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What a dataset holds, as far as a featurizer must know it. Stored with every checkpoint.

    species: chemical symbols in order of atomic number. max_atoms: of the largest structure.
    spins: 1 (total density) or 2 (total and magnetisation). dimension: of the grids.
    """

    species: tuple[str, ...]
    max_atoms: int
    spins: int = 1
    dimension: int = 3


class Dataset(ABC):
    """A finite sequence of samples, each loadable by its index."""

    @property
    @abstractmethod
    def ids(self) -> Sequence[str]:
        """Unique names of the samples, in order."""

    @property
    @abstractmethod
    def contents(self) -> Contents:
        """Species, number of atoms, spin channels and dimension."""

    @property
    def groups(self) -> Sequence[int]:
        """A label per sample. Samples that share one (mirror images, neighbours in time) are never split."""
        return range(len(self.ids))

    @property
    def buckets(self) -> Sequence[int]:
        """A label per sample. Samples that share one have the same grid, and may be in one batch."""
        return [0] * len(self.ids)

    @property
    def holdouts(self) -> Mapping[str, Sequence[int]]:
        """Test sets for ``splits.test``: name → indices of the samples that are held out, all others are for training.

        Known when the dataset is ready. For questions that random folds do not answer, such as larger systems.
        """
        return {}

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """One sample, from any thread. Raises IndexError past the end."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when any label or structure changes; recorded as the run's provenance."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ready(self) -> bool:
        """Whether there is nothing left to ``build`` before samples, ids and contents can be asked for."""
        return True

    @property
    def expected_groups(self) -> Sequence[int] | None:
        """``groups`` of all samples that there may be, before any is built; None where that is not known."""
        return self.groups if self.ready else None

    @property
    def failures(self) -> Mapping[str, str]:
        """Samples that could not be made and are left out: id → reason."""
        return {}

    @property
    def remarks(self) -> Mapping[str, Sequence[str]]:
        """What was decided in making a sample, or is doubtful about it: id → sentences."""
        return {}

    def build(
        self,
        advance: Callable[[int, int], None],
        *,
        recompute: bool = False,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Do the slow work once and keep it; ``advance(done, total)`` reports progress. Resumes when repeated.

        recompute: make the labels anew from first principles. workers: local processes. scheduler: address of a Dask
        scheduler to use instead. Raises DataError where a dataset cannot.
        """
        if recompute:
            raise DataError(f"{type(self).__name__} reads finished labels: it has nothing to recompute")

    def describe(self) -> Mapping[str, Any]:
        """Facts for ``edframe data info``: level of theory, where the labels come from, licences."""
        return {}


@dataclass(frozen=True)
class Features:
    """What a model sees. channels ``[b, c, x, y, z]``; baseline ``[b, s, x, y, z]`` in e/Å^d, or None."""

    channels: Float[Tensor, "b c *grid"]
    baseline: Float[Tensor, "b s *grid"] | None


class Featurizer(ABC):
    """Pictures of the atoms: scalar fields on the grid, so that moving the grid moves the channels alike."""

    @property
    @abstractmethod
    def channels(self) -> Sequence[str]:
        """A name for each channel."""

    @property
    def has_baseline(self) -> bool:
        """Whether a baseline density comes with the channels."""
        return False

    @property
    def electrons(self) -> Mapping[str, float] | None:
        """Electrons of each species in the baseline, where they are fixed beforehand: a run on data with others is
        refused."""
        return None

    @property
    def ordered(self) -> bool:
        """Whether the channels depend on the order in which atoms are listed, as with one channel per atom."""
        return False

    @abstractmethod
    def __call__(self, structures: Sequence[Structure], grid: Grid, device: torch.device | str) -> Features:
        """Channels (float32, on ``device``) of structures that share ``grid``.

        Raises DataError for a structure it cannot describe: an unknown species, too many atoms.
        """


class FittedFeaturizer(Featurizer):
    """A featurizer that is fitted to the training samples once, before anything is trained.

    ``channels`` do not depend on the fit, because the model is built by their number. It is called after ``fit`` or
    ``restore`` only. What ``fit`` found is saved with the checkpoints, and restored when a run continues and when it
    predicts.
    """

    @abstractmethod
    def fit(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Determine everything from the training samples; returns named numbers worth logging.

        ``samples`` are read whenever one is asked for, so that memory holds one at a time; they may be gone through
        several times. The same samples give the same features, to rounding, and what an earlier fit found is forgotten.
        Raises DataError for samples that it cannot be fitted to.
        """

    @abstractmethod
    def state(self) -> Mapping[str, Shaped[Tensor, "..."]]:
        """All that ``fit`` found, by name."""

    @abstractmethod
    def restore(self, state: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        """Be as fitted, from the ``state`` of a featurizer with the same options and contents.

        Raises DataError when it is not that.
        """


@runtime_checkable
class PointFeaturizer(Protocol):
    """A featurizer that also has this method: its features at single points, for models that look at one at a time."""

    def at(
        self, structure: Structure, grid: Grid, points: Float[Tensor, "p d"], device: torch.device | str
    ) -> Features:
        """Channels ``[1, c, p]`` and baseline ``[1, s, p]`` at ``points``, ``[p, d]`` in fractions of the lattice
        vectors of ``grid``. At grid points the channels are what a call gives, to 1e-4 of their maximum, and so is the
        baseline up to one factor near 1, which may depend on the whole grid. Raises what a call does."""


@runtime_checkable
class JudgingFeaturizer(Protocol):
    """A featurizer that also has this method: how wrong its baseline may be, by which structures can be compared."""

    def expected_error(self, structure: Structure, grid: Grid) -> float | None:
        """∫|error| of the baseline over the cell of ``grid``, in e, up to one factor for all structures, which the
        validation samples of a run determine. None where it is not known. Raises what a call does."""


@runtime_checkable
class TiledFeaturizer(Protocol):
    """A featurizer that also has this method: its features on parts of a grid, for grids that memory does not hold."""

    def tiled(self, structure: Structure, grid: Grid, device: torch.device | str) -> Callable[[Region], Features]:
        """A function from a part of ``grid`` to the features there, as a batch of one: those of a call, cut out, to
        1e-6 of their maximum. What the whole grid determines, such as the factor of a baseline, is found here, once.
        Raises what a call does."""


@runtime_checkable
class Model(Protocol):
    """Channels in, density out: an ``nn.Module``, trained by gradient, or fitted when it is a FittedModel.

    Its factory raises DataError for spin channels or a dimension that it cannot treat. It is called in the shortest
    basis of the lattice that the points of a grid allow (``edframe.data.basis``), because what acts on the indices of
    points sees another crystal in another basis. A model whose density is the same in each says so by an attribute
    ``any_basis`` that is True, and is called on grids as they are.
    """

    def __call__(
        self,
        channels: Float[Tensor, "b c *grid"],
        baseline: Float[Tensor, "b s *grid"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b s *grid"]:
        """The density ``[b, s, x, y, z]`` in e/Å^d: its total is nonnegative and integrates to ``electrons``
        ``[b]`` (relative 1e-6). Neither depends on how much vacuum surrounds the atoms."""


@runtime_checkable
class FittedModel(Model, Protocol):
    """A model in closed form: an ``nn.Module`` that has this method. What it finds are buffers, so that a new model
    restores it by ``load_state_dict``, also where sizes follow from the samples. It is fitted to, and called on, grids
    as they are, as with ``any_basis``; it may refuse others than those of the samples."""

    def fit(self, samples: Iterable[tuple[Features, Sample]]) -> Mapping[str, float]:
        """Determine everything from the training samples, each a batch of one; returns named numbers worth logging.

        Raises DataError for samples that it cannot be fitted to.
        """


@runtime_checkable
class TiledModel(Model, Protocol):
    """A model that also predicts one part of a grid after the other, for grids that memory does not hold.

    It has two halves, and a call is both: ``fields`` sees the surroundings of each point, as far as ``reach``, and
    ``finished`` the point alone, and sums over the grid.
    """

    @property
    def reach(self) -> int:
        """Points on both sides of a part, without which its fields are not those on the whole grid."""

    @property
    def stride(self) -> int:
        """A part begins at a multiple of this, because a network that halves the resolution works on blocks."""

    def fields(
        self,
        channels: Float[Tensor, "b c *part"],
        baseline: Float[Tensor, "b s *part"] | None,
        grid: Grid,
        electrons: Float[Tensor, "b"],
    ) -> Float[Tensor, "b k *part"]:
        """What ``finished`` needs, ``[b, k, x, y, z]`` float32. grid: the part, open where more follows. electrons:
        those of the whole grid in proportion to what the part holds of the baseline's positive total."""

    def finished(
        self, fields: Float[Tensor, "b k *part"], grid: Grid, electrons: Float[Tensor, "b"]
    ) -> Generator[Float[Tensor, "b n"], Float[Tensor, "b n"], Float[Tensor, "b s *part"]]:
        """The density ``[b, s, x, y, z]`` from the fields of any part, see ``edframe.data.sums``. electrons: of the
        whole grid."""


class Visit(Protocol):
    """What a loss may know of the training step it is called in, and what it stored when it last saw these samples.

    Augmentation moves a sample between two visits; what was stored moves along, so that a loss need not know of it.
    """

    step: int
    """The training step, from 1."""

    def recall(self, name: str) -> Float[Tensor, "b *field"] | None:
        """What was stored as ``name`` at the last visit of each sample, NaN for a sample without; None without any.

        Fields ``[b, c, x, y, z]`` (float32, in the sample's present orientation) or numbers ``[b]`` (float64).
        """

    def keep(self, name: str, values: Float[Tensor, "b *field"]) -> None:
        """Store fields ``[b, c, x, y, z]`` or numbers ``[b]`` for the next visit, as far as memory allows."""


class Loss(ABC):
    """How far a predicted density is from its reference: differentiable in the prediction, also a metric."""

    unit: str
    """Unit of the value, as tables print it; Å^d, as in "e/Å^d", becomes Å, Å² or Å³ by the dimension of the grid."""

    @abstractmethod
    def __call__(
        self, predicted: Float[Tensor, "b s *grid"], reference: Float[Tensor, "b s *grid"], grid: Grid
    ) -> Float[Tensor, "b"]:
        """One number per sample ``[b]``; both densities are ``[b, s, x, y, z]`` in e/Å^d on ``grid``.

        Raises DataError for a grid it cannot treat.
        """

    def with_diagnostics(
        self,
        predicted: Float[Tensor, "b s *grid"],
        reference: Float[Tensor, "b s *grid"],
        grid: Grid,
        visit: Visit | None = None,
    ) -> tuple[Float[Tensor, "b"], Mapping[str, Shaped[Tensor, "b"]]]:
        """The value ``[b]`` and named quantities ``[b]`` worth logging, such as a solver's marginal error.

        Training passes its ``visit``; evaluation passes none, and gets a value that depends on the densities alone.
        """
        return self(predicted, reference, grid), {}

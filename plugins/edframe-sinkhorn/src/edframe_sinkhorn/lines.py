"""The Gibbs kernel of the squared distance in any periodic cell, as a product of convolutions along lines.

Longer than most modules: the formula, its error and the kernel belong together.

In index space the kernel is the Gaussian exp(−iᵀD⁻¹i/2) of the displacement i ∈ ℤᵈ, D = ε(MMᵀ)⁻¹, the rows of M being
the voxel's edges. Selling's reduction writes D = Σ w_k e_k e_kᵀ with w_k ≥ 0 and at most six integer directions e_k
(three in the plane); a Gaussian of variance w_k sampled along each line i + t e_k, one after the other, gives

    Σ_{Σ t_k e_k = i} Π exp(−t_k²/2w_k)  =  const · exp(−iᵀD⁻¹i/2) · (1 + δ(i)),   |δ| ≤ η at any distance.

η = Σ exp(−2π²q) over the nonzero points of a small lattice (Poisson summation), so it falls with exp(−blur²). Where it
is too large the grid is embedded in a finer lattice, of which it holds every second to eighth point: lines have more
points per blur there. Hexagonal, fcc and bcc grids lie in one with right angles, where three lines are exact (η = 0).
All sums are positive, so the relative accuracy holds everywhere. Lines close to circles in the periodic cell, on which
weights add up over all turns: K is the sum over all images, positive definite, rather than the nearest image.

Selling 1874; Conway and Sloane 1992, Proc. R. Soc. A 436, 55; Mirebeau and Fehrenbach 2014, J. Math. Imaging Vis. 49, 1
(the directions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from edframe_sinkhorn.fourier import LEAST, convolved, eigenvalues
from edframe_sinkhorn.kernel import SMALLEST, in_single, smallest_with
from edframe_sinkhorn.torus import Integers, embedded, visits, work

if TYPE_CHECKING:
    from jaxtyping import Float

Floats = NDArray[np.float64]

BOUND = 0.002
"""Largest error of log K that is accepted. The divergence of smooth densities is off by a third of it (relative), that
of noise from voxel to voxel by three times, and their gradients by a third and 1.3 times: measured at most."""

FINEST = 8
"""Most points of a finer lattice per grid point; 8 halves every spacing."""

IMAGES_APART = 9.0
"""Blurs between a point and its own nearest image from which on it hardly matters whether the kernel has the nearest
image or the sum of all: 6e-4 of the divergence and 2e-3 of its gradient at most. At 5.3 blurs it is 6% and 16%."""

IGNORED = 25.0
"""Terms e^−25 times the largest are left out of a sum."""


def obtuse_superbase(form: Floats) -> Integers:
    """d + 1 integer vectors ``[d + 1, d]`` that sum to zero, d of them a basis of ℤᵈ, with vᵢᵀ ``form`` vⱼ ≤ 0.

    form: positive definite ``[d, d]``, d ≤ 3. Selling's algorithm: while a product is positive, reflect one vector.
    """
    d = len(form)
    vectors = np.vstack((np.eye(d, dtype=np.int64), -np.ones((1, d), dtype=np.int64)))
    pairs = list(itertools.combinations(range(d + 1), 2))
    upper = tuple(np.array(pairs).T)
    least = 1e-12 * np.trace(form)
    while True:
        products = (vectors @ form @ vectors.T)[upper]
        largest = products.argmax()
        if products[largest] <= least:
            return vectors
        i, j = pairs[largest]
        others = [k for k in range(d + 1) if k not in (i, j)]
        vectors[others] += (2 // (d - 1)) * vectors[i]
        vectors[i] *= -1


def selling(form: Floats) -> tuple[Integers, Floats]:
    """Directions e ``[k, d]`` and weights w ≥ 0 ``[k]``, k = d(d + 1)/2, with ``form`` = Σ w e eᵀ; d ≤ 3."""
    vectors = obtuse_superbase(form)
    products = vectors @ form @ vectors.T
    dual = np.zeros_like(vectors)
    dual[:-1] = np.rint(np.linalg.inv(vectors[:-1])).T
    pairs = np.array(list(itertools.combinations(range(len(vectors)), 2)))
    i, j = pairs.T
    # The product of a direction is 1 with vector i, −1 with j, 0 with the others.
    return dual[i] - dual[j], np.maximum(-products[i, j], 0.0)


@dataclass(frozen=True)
class Lines:
    """The Gaussian of a grid as a product of lines in the same lattice or a finer one.

    embedding: ``[d, d]``, lower triangular: the grid point i is the point i @ embedding of the lattice.
    directions: ``[k, d]`` in the lattice. variances: ``[k]`` in squared steps. log_norm: of the constant before the
    Gaussian. error: largest |log K| of the product less that of the Gaussian, over displacements within the cell.
    """

    embedding: Integers
    directions: Integers
    variances: Floats
    log_norm: float
    error: float


def superlattices(d: int, index: int) -> Iterator[Integers]:
    """Every lattice that holds ℤᵈ as a sublattice of this index, by the embedding of ℤᵈ (Hermite normal form)."""
    if d == 0:
        if index == 1:
            yield np.zeros((0, 0), dtype=np.int64)
        return
    for last in (k for k in range(1, index + 1) if index % k == 0):
        for rest in superlattices(d - 1, index // last):
            for row in itertools.product(range(last), repeat=d - 1):
                embedding = np.zeros((d, d), dtype=np.int64)
                embedding[:-1, :-1], embedding[-1, :-1], embedding[-1, -1] = rest, row, last
                yield embedding


def theta_excess(directions: Integers, variances: Floats) -> float:
    """η, the largest relative deviation of the product of lines from its Gaussian, at any displacement.

    The steps t that lead nowhere, Σ t_k e_k = 0, are a lattice; the sum of exp(−t²/2w) over a translate of it deviates
    from its mean by the sum of exp(−2π²q) over the dual lattice without its origin, at most.
    """
    d = directions.shape[1]
    basis = next(
        list(chosen)
        for chosen in itertools.combinations(range(len(directions)), d)
        if abs(np.linalg.det(directions[list(chosen)])) > 0.5
    )
    rest = [k for k in range(len(directions)) if k not in basis]
    if not rest:
        return 0.0
    # Any d independent directions of an obtuse superbase are a basis of the lattice, so these are integers.
    nowhere = np.zeros((len(rest), len(directions)))
    nowhere[:, rest] = np.eye(len(rest))
    nowhere[:, basis] = -directions[rest] @ np.linalg.inv(directions[basis])
    dual = np.linalg.inv(nowhere / variances @ nowhere.T)
    points = _around(len(rest))
    terms = np.exp(-2 * np.pi**2 * ((points @ dual) * points).sum(1))
    return float(terms.sum()) - 1


@lru_cache(maxsize=4)
def _around(d: int) -> Floats:
    """Points of ℤᵈ near the origin, ``[n, d]``."""
    return np.array(list(itertools.product(range(-3, 4), repeat=d)), dtype=float)


def cell_radius(cell: Floats) -> float:
    """A length in Å that no displacement to a nearest image exceeds. cell: ``[d, d]``, rows are lattice vectors.

    Rounding to a lattice point along the Gram-Schmidt vectors of a reduced basis (Babai 1986) comes as near.
    """
    reduced = obtuse_superbase(cell @ cell.T)[:-1] @ cell
    reduced = reduced[np.argsort(np.linalg.norm(reduced, axis=1))]
    return float(np.linalg.norm(np.linalg.qr(reduced.T)[1].diagonal()) / 2)


def image_distance(voxel: ArrayLike, shape: Sequence[int]) -> float:
    """The distance in Å between a point and its own nearest image: the shortest lattice vector of the cell."""
    cell = np.asarray(voxel, dtype=float) * np.array(shape)[:, None]
    vectors = obtuse_superbase(cell @ cell.T) @ cell
    # The shortest is a sum of some vectors of the superbase (Conway and Sloane 1992, theorem 3).
    sums = [sum(some) for size in range(1, len(vectors)) for some in itertools.combinations(vectors, size)]
    return float(np.linalg.norm(sums, axis=1).min())


def decompose(voxel: ArrayLike, shape: Sequence[int], epsilon: float, bound: float = BOUND) -> Lines:
    """The lines with the least work whose error of log K is within ``bound``; those of the least error when none is.

    Tried are the grid's own lattice, then those twice as fine, then up to four times, then up to FINEST times; finer
    ones are not looked at once some serve.

    voxel: edges as rows, ``[d, d]`` in Å. shape: of the periodic grid. epsilon: ε in Å².
    """
    # In blurs, so that a grid and its coarsenings, which differ by a factor only, are one case.
    edges = tuple(tuple(float(x) for x in row) for row in np.asarray(voxel) / math.sqrt(epsilon))
    return _decompose(edges, tuple(shape), bound)


@lru_cache(maxsize=64)
def _decompose(edges: tuple[tuple[float, ...], ...], shape: tuple[int, ...], bound: float) -> Lines:
    voxel = np.array(edges)
    farthest = cell_radius(voxel * np.array(shape)[:, None]) ** 2 / 2
    covariance = np.linalg.inv(voxel @ voxel.T)
    trials: list[Lines] = []
    tried, finest = 0, 1
    while finest <= FINEST:
        for index in range(tried + 1, finest + 1):
            trials += (_lines(covariance, embedding, farthest, bound) for embedding in superlattices(len(voxel), index))
        within = [lines for lines in trials if lines.error <= bound]
        if within:
            return min(within, key=lambda lines: (work(visits(lines.embedding, lines.directions)), lines.error))
        tried, finest = finest, 2 * finest
    return min(trials, key=lambda lines: lines.error)


def _lines(covariance: Floats, embedding: Integers, farthest: float, bound: float) -> Lines:
    form = embedding.T @ covariance @ embedding
    directions, variances = selling(form)
    # A line of almost no weight would only spoil η. Without it, c/ε is too large by the fraction w eᵀD⁻¹e at most.
    share = variances * np.einsum("ki,ij,kj->k", directions, np.linalg.inv(form), directions)
    kept = share * farthest > min(bound, BOUND) / 30
    left_out = float(share[~kept].sum()) * farthest
    directions, variances = directions[kept], variances[kept]
    eta = theta_excess(directions, variances)
    log_norm = 0.5 * float(np.log(2 * np.pi * variances).sum() - np.linalg.slogdet(2 * np.pi * form)[1])
    error = left_out - math.log1p(-eta) if eta < 1 else math.inf
    return Lines(embedding, directions, variances, log_norm, error)


def kernel_error(voxel: ArrayLike, shape: Sequence[int], blur: float) -> float:
    """The largest error of log K (dimensionless; times ε it is one of the cost) with this blur in Å.

    A bound over all displacements, against the sum of exp(−c/ε) over all images.
    """
    return decompose(voxel, shape, blur**2).error


def smallest_blur(voxel: ArrayLike, shape: Sequence[int], blur: float) -> float:
    """The smallest blur in Å from ``blur`` up whose kernel error is within the bound, to a percent."""
    too_small, enough = blur, blur
    while kernel_error(voxel, shape, enough) > BOUND:
        too_small, enough = enough, 2 * enough
    while enough > 1.01 * too_small:
        middle = math.sqrt(too_small * enough)
        if kernel_error(voxel, shape, middle) > BOUND:
            too_small = middle
        else:
            enough = middle
    return enough


class LineKernel:
    """K = Σ over images of exp(−c/ε), c(x, y) = |x − y|²/2, on a periodic grid of any cell; see the top of the module.

    voxel: edges as rows, ``[d, d]`` in Å. shape: of the grid. epsilon: ε = blur² in Å². ``lines.error`` tells how well
    K is met; it is at most ``bound`` unless the blur is far below a voxel. finest: shape of the grid that this is a
    coarsening of: its lines serve here, too, where the blur has as many voxels.
    """

    def __init__(
        self,
        voxel: ArrayLike,
        shape: Sequence[int],
        epsilon: float,
        device: torch.device | str = "cpu",
        bound: float = BOUND,
        finest: Sequence[int] | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.epsilon = epsilon
        self.single = True
        self.lines = decompose(voxel, finest or shape, epsilon, bound)
        self._voxel = np.asarray(voxel, dtype=float)
        self._device = device
        self._eigenvalues = eigenvalues(self.lines, self.shape).to(device)

    @cached_property
    def _products(self) -> _Products:
        """Made on first use: most densities do without, and they take time and memory."""
        lines, edges, shape, epsilon, device = self.lines, self._voxel, self.shape, self.epsilon, self._device
        fine_edges = np.linalg.inv(lines.embedding) @ edges
        # Images within `reach` enter in full; those beyond weigh at most e^−25 of the nearest.
        reach = math.hypot(cell_radius(edges * np.array(shape)[:, None]), math.sqrt(2 * IGNORED * epsilon))
        torus, grid = embedded(lines.embedding, self.shape)
        location = np.full(len(torus), -1, dtype=np.int32)  # of every point in what the line before has written
        location[grid] = np.arange(len(grid))
        present = grid
        stages: list[tuple[Tensor, Tensor, dict[torch.dtype, Tensor]]] = []
        order = visits(lines.embedding, lines.directions)
        for k, stride, home in order:
            e, variance = lines.directions[k], float(lines.variances[k])
            # Only the grid is wanted of the last line, and a displacement x Å takes w e·x/ε steps at most.
            last = len(stages) == len(order) - 1
            steps = variance * float(np.linalg.norm(e @ fine_edges)) * reach / epsilon
            half = steps + math.sqrt(2 * IGNORED * variance)
            circles = torus.circles(e, grid if last else present)
            read, written, log_matrix = _convolution(circles.shape[1], half, variance, stride, home if last else 1)
            if last:
                log_matrix = log_matrix - lines.log_norm
            gather = torch.from_numpy(location[circles[:, read]].ravel()).to(device, torch.int32)
            log_matrix = log_matrix.to(device)
            matrix = log_matrix.exp()
            matrix[matrix < torch.finfo(matrix.dtype).tiny] = 0  # subnormal numbers are slow
            stages.append((gather, log_matrix, {torch.float64: matrix, torch.float32: in_single(matrix)}))
            reached = circles[:, written].ravel()
            location[reached] = np.arange(len(reached))
            present = circles.ravel()
        lowest = min(float(log[log > -torch.inf].amin()) for _, log, _ in stages)
        final = torch.from_numpy(location[grid]).to(device, torch.int32)
        return _Products(stages, final, smallest_with(lowest, math.prod(shape)))

    def apply(
        self, density: Float[Tensor, "b *grid"], other: Float[Tensor, "b *grid"] | None = None, even: bool = False
    ) -> Float[Tensor, "b *grid"]:
        """K ``density``, ``[b, n1, …, nd]``, nonnegative. In float64 results are exact above 1e-280.

        By Fourier transforms for the samples whose sums allow it; see ``fourier.py``.
        """
        sums = convolved(density, self._eigenvalues)
        if even:
            return sums.to(density.dtype)
        least, largest = sums.flatten(1).aminmax(dim=1)
        poor = ~(least >= LEAST * largest)
        sums = sums.to(density.dtype)
        if bool(poor.any()):
            sums[poor] = self._along_lines(density[poor])
        return sums

    def _along_lines(self, density: Tensor) -> Tensor:
        layout = density.flatten(1)
        for gather, _, matrices in self._products.stages:
            matrix = matrices[density.dtype]
            layout = (_gathered(layout, gather).reshape(-1, len(matrix)) @ matrix).reshape(len(density), -1)
        return _gathered(layout, self._products.final).reshape(density.shape)

    def limits(self, density: Float[Tensor, "b *grid"]) -> list[Float[Tensor, "..."] | float]:
        """Larger where the weights of a line underflow."""
        return [self._products.smallest]

    def log_apply(self, log_density: Float[Tensor, "b *grid"]) -> Float[Tensor, "b *grid"]:
        """log(K exp(``log_density``)) at any range, float64 ``[b, n1, …, nd]``; −inf means zero density."""
        layout = log_density.flatten(1)
        for gather, log_matrix, matrices in self._products.stages:
            matrix = matrices[torch.float64]
            rows = _gathered(layout, gather).reshape(-1, len(matrix))
            layout = _log_product(rows, log_matrix, matrix).reshape(len(log_density), -1)
        return _gathered(layout, self._products.final).reshape(log_density.shape)


@dataclass(frozen=True)
class _Products:
    """Lines one after the other: the points that each gathers, its log matrix and matrices; the points of the grid in
    what the last has written; the limit of a sum (``smallest_with``)."""

    stages: list[tuple[Tensor, Tensor, dict[torch.dtype, Tensor]]]
    final: Tensor
    smallest: float


def _gathered(layout: Tensor, points: Tensor) -> Tensor:
    """Columns ``points`` of ``layout``; of a single row by the quicker way."""
    if len(layout) == 1:
        return layout[0].index_select(0, points)[None]
    return layout.index_select(1, points)


def _log_product(rows: Tensor, log_matrix: Tensor, matrix: Tensor) -> Tensor:
    """log(exp(``rows``) ``matrix``) by a product of rows that are shifted by their maximum.

    Rows with a result that is too small for float64 are computed again, one column of the matrix at a time.
    """
    top = rows.amax(1, keepdim=True)
    shift = top.clamp(min=torch.finfo(top.dtype).min)  # of a row of zeros, −inf would give NaN
    sums = (rows - shift).exp_() @ matrix
    lost = (sums.amin(1) < SMALLEST) & (top[:, 0] > -torch.inf)
    result = sums.log_().add_(shift)
    if lost.any():
        result[lost] = torch.stack([torch.logsumexp(rows[lost] + column, 1) for column in log_matrix.T], 1)
    return result


def _convolution(
    order: int, half: float, variance: float, stride: int, every: int
) -> tuple[Integers, Integers, Tensor]:
    """Steps of a circle to read and to write, ``[window, step]``, and the log weights ``[read, written]`` between them.

    Every ``stride``-th of the ``order`` steps holds a value, every ``every``-th is wanted. A circle much longer than
    ``half``, the number of steps that matter, is cut into windows.
    """
    unit = math.lcm(stride, every)
    half = math.ceil(half / unit) * unit
    if order <= 4 * half:
        starts = np.zeros((1, 1), dtype=np.int64)
        read, written = np.arange(0, order, stride), np.arange(0, order, every)
        images = math.ceil(math.sqrt(2 * IGNORED * variance) / order) + 1
        turns = order * np.arange(-images, images + 1)
    else:
        starts = np.arange(0, order, 2 * half)[:, None]
        read, written = np.arange(-half, 3 * half, stride), np.arange(0, 2 * half, every)
        turns = np.zeros(1, dtype=np.int64)
    apart = np.abs(read[:, None] - written)
    log_weights = torch.from_numpy(-((apart[..., None] + turns) ** 2) / (2 * variance)).logsumexp(-1)
    if len(turns) == 1:
        log_weights[torch.from_numpy(apart > half)] = -torch.inf
    return (starts + read) % order, (starts + written) % order, log_weights

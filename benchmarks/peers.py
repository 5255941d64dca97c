"""The solvers that are compared: edframe's and its peers', each as value and gradient of one pair of densities.

A solver prepares a problem first (moves inputs to the device, compiles); that is not timed. Peers that are not
installed are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from edframe_sinkhorn import sinkhorn_divergence
from problems import Problem, mol
from torch import Tensor

from edframe.grid import Grid


@dataclass(frozen=True)
class Answer:
    """S in Å² per electron, f_ab − f_aa ``[x, y, z]`` in Å², and what the solver says of its convergence."""

    value: float
    potential: np.ndarray
    iterations: int | None = None
    converged: bool | None = None
    """None: the solver has no test of its own."""


@dataclass(frozen=True)
class Prepared:
    """One problem, ready to be solved again and again."""

    solve: Callable[[], Any]
    """To be timed: returns when its result is there."""
    read: Callable[[Any], Answer]
    """What ``solve`` returned, in common terms."""
    peak_bytes: int | None = None
    """Memory beyond the inputs, when the solver itself knows."""


class Unsupported(Exception):
    """A solver cannot do this problem at all."""


@dataclass(frozen=True)
class Solver:
    """``prepare(problem, blur, tolerance, device)`` raises Unsupported for a problem that the solver cannot do."""

    name: str
    prepare: Callable[[Problem, float, float, str], Prepared]
    missing: str = ""
    """Why it cannot run here; empty when it can."""
    largest: int = 10**6
    """Points per axis beyond which it takes more than minutes."""
    once: bool = False
    """Timed once, after a small problem has warmed it up, for it takes so long."""


def divergence(a: Tensor, b: Tensor, grid: Grid, blur: float | None, tolerance: float, start: Any = None) -> Any:
    """edframe's value and gradient by ``a``, complete on return. The one place that knows its options."""
    result = sinkhorn_divergence(a, b, grid, blur=blur, tol=tolerance, start=start, reference_gradient=False)
    if a.is_cuda:
        torch.cuda.synchronize()
    return result


def _edframe(problem: Problem, blur: float, tolerance: float, device: str) -> Prepared:
    a, b = (torch.from_numpy(density)[None].to(device) for density in (problem.a, problem.b))

    def read(result: Any) -> Answer:
        return Answer(
            value=result.value.item(),
            potential=result.potential[0].cpu().numpy(),
            iterations=int(result.iterations),
            converged=result.marginal_error.item() <= tolerance,
        )

    return Prepared(lambda: divergence(a, b, problem.grid, blur, tolerance), read)


def _ott(problem: Problem, blur: float, tolerance: float, device: str) -> Prepared:
    """OTT-JAX: geometry ``Grid``, scalings instead of potentials, float64, its own symmetric self transports.

    Its cost is |x − y|², so ε is doubled and what comes out halved. It stops on the 1-norm of what the plan lacks of
    the second marginal, like edframe, looking every 10 iterations (2000 at most); for the self transports, whose
    potentials it updates in parallel, on the sum over both marginals.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from ott.geometry import grid as ott_grid
    from ott.tools import sinkhorn_divergence as ott_divergence

    try:
        place = jax.devices("gpu" if device == "cuda" else "cpu")[0]
    except RuntimeError as error:
        raise Unsupported("jax sees no GPU") from error
    with jax.default_device(place):
        axes = [jnp.arange(n) * h for n, h in zip(problem.grid.shape, problem.grid.spacing, strict=True)]
        a, b = (jax.device_put(jnp.asarray(mass.ravel()), place) for mass in problem.masses)

        @jax.jit
        def divergence(a: Any, b: Any) -> Any:
            value, output = ott_divergence.sinkhorn_divergence(
                ott_grid.Grid,
                x=axes,
                epsilon=2 * blur**2,
                a=a,
                b=b,
                solve_kwargs={"lse_mode": False, "threshold": tolerance},
                symmetric_sinkhorn=True,
            )
            (f_ab, _), (f_aa, _), _ = output.potentials
            return value / 2, (f_ab - f_aa) / 2, output.n_iters[0], jnp.stack(output.converged).all()

        compiled = divergence.lower(a, b).compile()

    def read(result: Any) -> Answer:
        value, potential, iterations, converged = result
        return Answer(float(value), np.asarray(potential).reshape(problem.grid.shape), int(iterations), bool(converged))

    memory = compiled.memory_analysis()
    taken = memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else None
    return Prepared(lambda: jax.block_until_ready(compiled(a, b)), read, taken)


def _cube_side(problem: Problem) -> float:
    """Å; geomloss gives a wrong number silently for any other box."""
    n = problem.grid.shape[0]
    sides = np.diag(problem.grid.vectors)
    if problem.grid.shape != (n, n, n) or n & (n - 1) or np.ptp(sides) > 1e-9:
        raise Unsupported(f"its images are cubes of power-of-two side, not {problem.grid}")
    return float(sides[0])


def _geomloss_image(problem: Problem, blur: float, tolerance: float, device: str) -> Prepared:
    """geomloss' Sinkhorn on images, scaling 0.9: a fixed number of iterations in the unit cube; potentials = dS/da."""
    from geomloss._legacy.sinkhorn_divergence import epsilon_schedule
    from geomloss._legacy.sinkhorn_images import sinkhorn_divergence as on_images

    side, scaling = _cube_side(problem), 0.9
    if blur >= 2 * problem.voxel:
        raise Unsupported("its assertion fails for a blur of two voxels and more")
    a, b = (torch.from_numpy(mass)[None, None].to(device) for mass in problem.masses)

    def solve() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            f, g = on_images(a, b, p=2, blur=blur / side, scaling=scaling, potentials=True)
            value = (a * f).sum() + (b * g).sum()
        if a.is_cuda:
            torch.cuda.synchronize()
        return value, f

    def read(result: tuple[Tensor, Tensor]) -> Answer:
        value, f = result
        steps = len(epsilon_schedule(2, 1.0, blur / side, scaling))
        return Answer(value.item() * side**2, f[0, 0].cpu().numpy() * side**2, steps)

    return Prepared(solve, read)


def _geomloss_samples(problem: Problem, blur: float, tolerance: float, device: str) -> Prepared:
    """geomloss' ``SamplesLoss`` on the voxels as points, scaling 0.5, multiscale (KeOps), by its potentials."""
    from geomloss import SamplesLoss
    from geomloss._legacy.sinkhorn_divergence import epsilon_schedule, max_diameter

    points = torch.from_numpy(problem.grid.coordinates().reshape(-1, 3)).to(device)
    a, b = (torch.from_numpy(mass.ravel()).to(device) for mass in problem.masses)
    loss = SamplesLoss("sinkhorn", p=2, blur=blur, scaling=0.5, backend="multiscale", potentials=True)

    def solve() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            f, g = loss(a, points, b, points)
            value = (a * f.view(-1)).sum() + (b * g.view(-1)).sum()
        if a.is_cuda:
            torch.cuda.synchronize()
        return value, f

    def read(result: tuple[Tensor, Tensor]) -> Answer:
        value, f = result
        steps = len(epsilon_schedule(2, max_diameter(points, points), blur, 0.5))
        return Answer(value.item(), f.cpu().numpy().reshape(problem.grid.shape), steps)

    return Prepared(solve, read)


def _absent(*modules: str) -> str:
    absent = [module for module in modules if find_spec(module) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


SOLVERS = {
    "edframe": Solver("edframe", _edframe),
    "ott": Solver("OTT-JAX Grid, kernel mode", _ott, _absent("jax", "ott")),
    "geomloss-image": Solver("geomloss image, scaling 0.9", _geomloss_image, _absent("geomloss", "pykeops")),
    "geomloss-samples": Solver(
        "geomloss SamplesLoss multiscale, 0.5",
        _geomloss_samples,
        _absent("geomloss", "pykeops"),
        largest=32,
        once=True,
    ),
}
"""By the name that ``--only`` takes."""


def small_problem() -> Problem:
    """16³ points: enough to compile what is compiled at first use."""
    return mol(16)


def gradient_errors(potential: np.ndarray, converged: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """‖g − g*‖/‖g*‖ after removing the constants: in L² weighted by the reference's mass, and in the maximum norm."""
    mass = reference / reference.sum()
    ours, exact = (g - (mass * g).sum() for g in (potential, converged))
    weighted = math.sqrt((mass * (ours - exact) ** 2).sum() / (mass * exact**2).sum())
    return weighted, float(np.abs(ours - exact).max() / np.abs(exact).max())

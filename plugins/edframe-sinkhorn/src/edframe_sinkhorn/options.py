"""What may be chosen about a divergence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edframe.errors import ConfigError
from edframe_sinkhorn.plugin import MAX_ITERATIONS, TOL, Backend, Mass, Scale


@dataclass(frozen=True)
class Options:
    """Options of ``sinkhorn_divergence``. Raises ConfigError for one out of range.

    blur: Å, default the largest spacing of the grid. tol: marginal error to stop at, a fraction of the mass.
    max_iterations: on each grid from coarse to fine. reach: Å, how far it pays to move mass rather than to create it:
    a Kullback–Leibler penalty of weight reach^p on both marginals; None: marginals are exact. mass: "normalise"
    divides each density by its own sum, "unbalanced" both by that of b, and needs ``reach``. scale: "total" multiplies
    by the electrons of b. debias: False gives OT_ε(a, b) alone. p: 1 for the cost |x − y| and ε = blur. backend: the
    kernel, see ``edframe_sinkhorn.backends``.
    """

    blur: float | None = None
    tol: float = TOL
    max_iterations: int = MAX_ITERATIONS
    reach: float | None = None
    mass: Mass = "normalise"
    scale: Scale = "per_electron"
    debias: bool = True
    p: int = 2
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        for name in ("blur", "tol", "max_iterations", "reach"):
            option = getattr(self, name)
            if option is not None and not 0 < option < math.inf:
                raise ConfigError(f"sinkhorn: {name} must be positive, not {option}")
        if self.mass == "unbalanced" and self.reach is None:
            raise ConfigError("sinkhorn: mass 'unbalanced' needs a reach in Å: exact marginals have equal masses")

    @property
    def rho(self) -> float:
        """Weight of the penalty on the marginals, Å^p."""
        return math.inf if self.reach is None else self.reach**self.p

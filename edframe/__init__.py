"""edframe learns electron densities: featurizers, models, losses and datasets are plugins.

    import edframe

    predict = edframe.load("runs/<run>")      # a trained model
    density = predict(atoms)                  # pymatgen, ASE, a file, or a list of them
    density.electrons, density.charges(), density.plot()
    density.write("CHGCAR")
    edframe.compare(density, edframe.read("reference/CHGCAR"))

Importing edframe is light: torch and pymatgen are imported on use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edframe.version import API_VERSION, __version__

if TYPE_CHECKING:
    from edframe.api.comparing import compare
    from edframe.api.density import Density
    from edframe.api.predicting import Trained, load
    from edframe.api.reading import read
    from edframe.api.training import Finished, fit, run

__all__ = [
    "API_VERSION", "Density", "Finished", "Trained", "__version__", "compare", "fit", "load", "read", "run",
]  # fmt: skip

_HOME = {
    "Density": "density", "Finished": "training", "Trained": "predicting", "compare": "comparing", "fit": "training",
    "load": "predicting", "read": "reading", "run": "training",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edframe' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"edframe.api.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__

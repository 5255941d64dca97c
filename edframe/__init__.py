"""edframe learns electron densities: featurizers, models, losses and datasets are plugins."""

from edframe.version import API_VERSION, __version__

__all__ = ["API_VERSION", "__version__"]

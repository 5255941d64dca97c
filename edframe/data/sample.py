"""``Sample`` under the name by which plugins import it; see ``edframe.sample``."""

from edframe.sample import Sample

__all__ = ["Sample"]

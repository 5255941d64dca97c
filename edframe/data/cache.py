"""Where edframe stores what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """``$EDFRAME_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("EDFRAME_CACHE") or platformdirs.user_cache_dir("edframe"))

"""Random numbers split by purpose, without state: the same purpose and step always give the same numbers."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["seed_for"]


def seed_for(root: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed for one purpose ("folds", "weights", "batches", …), and step or epoch within it."""
    sequence = np.random.SeedSequence([root, zlib.crc32(purpose.encode()), *indices])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

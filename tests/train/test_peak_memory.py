"""The peak is held against an array of known size."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from edframe.train.peak_memory import forget_peak, peak_memory

SIZE = 200 * 2**20
CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_peak_is_what_was_held_since_it_was_forgotten():
    forget_peak(CPU)
    before = peak_memory(CPU)
    held = np.ones(SIZE // 8)
    during = peak_memory(CPU)
    del held
    assert during - before == pytest.approx(SIZE, rel=0.1)
    assert peak_memory(CPU) >= during - 2**20  # it stays, though the array is gone; the system counts in batches
    forget_peak(CPU)
    assert peak_memory(CPU) - before == pytest.approx(0, abs=SIZE / 4)

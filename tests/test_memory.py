"""Memory: what is free, which grid of the same proportions fits, and which errors say that there was too little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from edframe.errors import DataError, RunError
from edframe.memory import by_words, fitting, free_memory, is_out_of_memory, out_of_memory_as

HELD = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from edframe.memory import free_memory, is_out_of_memory
before = free_memory()
import numpy
held = numpy.empty(400 << 20, numpy.uint8)
print(before, before - free_memory())
try:
    numpy.empty(3 << 30, numpy.uint8)
except Exception as error:
    print(is_out_of_memory(error))
"""


def test_a_limit_of_the_process_counts():
    ended = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, timeout=60, check=True)
    before, less, told = ended.stdout.split()
    assert int(before) < 2 << 30
    assert 400 << 20 <= int(less) < 900 << 20  # and NumPy itself
    assert told == "True"


def test_free_memory_is_less_than_the_machine_has():
    assert 0 < free_memory() < 1 << 50


@pytest.mark.parametrize(
    ("shape", "share", "expected"),
    [
        ((64, 64, 64), 0.125, (32, 32, 32)),
        ((100, 50, 20), 1.0, (96, 48, 16)),
        ((128, 64, 9), 0.5, (96, 48, 7)),
        ((4, 4, 4), 0.01, (1, 1, 1)),
    ],
)
def test_a_grid_that_fits_has_the_same_proportions(shape, share, expected):
    assert fitting(shape, share) == expected
    assert np.prod(expected) <= share * np.prod(shape) or expected == (1, 1, 1)


def test_errors_that_mean_memory_are_told_from_others():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    for error, raised in (
        (MemoryError(), DataError),
        (caught.value, DataError),
        (RuntimeError("shapes"), RuntimeError),
    ):
        with pytest.raises(raised, match=r"no room|shapes"), out_of_memory_as("no room", DataError):
            raise error
    with pytest.raises(RunError, match="of its own"), out_of_memory_as("no room"):
        raise RunError("of its own")


@pytest.mark.parametrize(("size", "words"), [(3 << 30, "3 GiB"), (5 << 20, "5 MiB"), (1 << 29, "0.5 GiB")])
def test_bytes_in_words(size, words):
    assert by_words(size) == words

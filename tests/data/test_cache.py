"""The cache of densities on disk."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from edframe.data.cache import DensityCache, cache_folder
from edframe.errors import DataError

VALUES = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "densities.zarr"


def opened(folder, samples=3):
    return DensityCache(folder, samples, (1, 2, 2, 2))


def test_what_was_put_is_read_by_the_next_process(folder):
    cache = opened(folder)
    assert cache.missing() == [0, 1, 2]
    cache.put(1, VALUES)
    cache.flush()
    again = opened(folder)
    assert again.missing() == [0, 2]
    np.testing.assert_array_equal(again.get(1), VALUES)


def test_sample_that_was_not_noted_is_missing(folder):
    """A kill between the two writes costs one evaluation, never a wrong density."""
    opened(folder).put(1, VALUES)
    assert opened(folder).missing() == [0, 1, 2]


@pytest.mark.parametrize("action", [lambda cache: cache.put(0, VALUES), lambda cache: cache.flush()])
def test_full_disk_is_said_and_keeps_what_is_there(folder, monkeypatch, action):
    cache = opened(folder)
    cache.put(1, VALUES)
    cache.flush()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(cache._values), "__setitem__", full)
        with pytest.raises(
            DataError, match=r"cannot be written .No space left on device.; free some space, or set EDF"
        ):
            action(cache)
    assert opened(folder).missing() == [0, 2]


def test_damaged_sample_is_refused(folder):
    cache = opened(folder)
    cache.put(0, VALUES)
    (chunk,) = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == VALUES.nbytes)
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(DataError, match=r"is damaged .* delete it"):
        cache.get(0)


def test_cache_of_another_shape_is_refused(folder):
    opened(folder)
    with pytest.raises(DataError, match=r"cannot be used .* delete it, or set EDFRAME_CACHE"):
        opened(folder, samples=4)


def test_folder_that_is_a_file_is_refused(folder):
    folder.write_text("")
    with pytest.raises(DataError, match="cannot be used"):
        opened(folder)


def test_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EDFRAME_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDFRAME_CACHE")
    assert cache_folder().name == "edframe"

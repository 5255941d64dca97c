import fsspec
import numpy as np
import pytest
from edframe_store.dataset import StoredSamples
from edframe_store.plugin import StoreConfig

from edframe.errors import DataError


def opened(path):
    return StoredSamples(StoreConfig(path=str(path)))


def test_samples_are_what_was_stored(url, samples):
    dataset = opened(url)
    assert list(dataset.ids) == ["s0", "s1", "s2", "s3"]
    for read, stored in zip(dataset, samples, strict=True):
        np.testing.assert_array_equal(read.density, stored.density)
        assert (read.structure, read.grid, read.source) == (stored.structure, stored.grid, stored.source)
    assert dataset.contents.species == ("H", "O")
    assert dataset.describe() == {"kept in": str(url), "made": "up"}


def test_groups_and_grids_tell_what_belongs_together(url):
    dataset = opened(url)
    first, second, third, fourth = dataset.groups
    assert first == fourth
    assert len({first, second, third}) == 3
    first, second, third, fourth = dataset.buckets
    assert first == third == fourth != second


def test_a_url_is_opened_too(url):
    memory = fsspec.filesystem("memory")
    memory.put(str(url), "/edframe/samples.zarr", recursive=True)
    assert opened("memory://edframe/samples.zarr").fingerprint() == opened(url).fingerprint()


def test_the_home_folder_is_known(url, monkeypatch):
    monkeypatch.setenv("HOME", str(url.parent))
    assert len(opened(f"~/{url.name}")) == 4


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no store of samples"):
        opened(tmp_path)

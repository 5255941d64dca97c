"""The cache of evaluated densities: resumed, never filled twice, one per grid."""

from collections import Counter

import numpy as np
import pytest
from edframe_pyscf.li_o_li import LiOLi
from edframe_pyscf.plugin import LiOLiConfig

from edframe.errors import DataError


@pytest.fixture
def evaluated(monkeypatch):
    """How often each row was evaluated."""
    counts = Counter()
    original = LiOLi._evaluate

    def counting(self, row):
        counts[self.config.grid, row] += 1
        return original(self, row)

    monkeypatch.setattr(LiOLi, "_evaluate", counting)
    return counts


def ignore(done, total):
    pass


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_build_continues_and_evaluates_nothing_twice(evaluated, workers, stop):
    def interrupt(done, total):
        if done == 7:
            raise stop

    with pytest.raises(stop):
        LiOLi(LiOLiConfig(grid=8, samples=30)).build(interrupt, workers=workers)
    assert 7 <= sum(evaluated.values()) < 30
    calls = []
    LiOLi(LiOLiConfig(grid=8, samples=30)).build(lambda *progress: calls.append(progress), workers=workers)
    assert len(evaluated) == 30
    assert set(evaluated.values()) == {1}
    assert calls[-1] == (30, 30)
    assert [done for done, _ in calls] == list(range(31 - len(calls), 31))


def test_a_built_dataset_is_read_from_disk(evaluated):
    config = LiOLiConfig(grid=8, samples=10)
    LiOLi(config).build(ignore, workers=2)
    before = dict(evaluated)
    dataset = LiOLi(config)
    assert [sample.id for sample in map(dataset.__getitem__, range(10))] == list(dataset.ids)
    dataset.build(ignore)
    assert dict(evaluated) == before


def test_a_sample_read_before_any_build_is_kept(evaluated):
    config = LiOLiConfig(grid=8, samples=8)
    first, second = LiOLi(config)[2], LiOLi(config)[2]
    np.testing.assert_array_equal(first.density, second.density)
    assert list(evaluated.values()) == [1]


def test_more_samples_of_one_grid_share_its_cache(evaluated):
    LiOLi(LiOLiConfig(grid=8, samples=8)).build(ignore)
    LiOLi(LiOLiConfig(grid=8, samples=25)).build(ignore)
    assert set(evaluated.values()) == {1}


def test_each_grid_has_its_cache_where_edframe_cache_says(cache, evaluated):
    for grid in (8, 12):
        LiOLi(LiOLiConfig(grid=grid, samples=8)).build(ignore)
    folders = sorted(path.name for path in (cache / "li-o-li").iterdir())
    assert [name.split("-")[0] for name in folders] == ["12", "8"]
    assert len(evaluated) == 16


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="set EDFRAME_CACHE to another folder"):
        LiOLi(LiOLiConfig(grid=8, samples=8)).build(ignore)


def test_a_cache_that_lost_its_values_is_an_error(cache):
    config = LiOLiConfig(grid=8, samples=8)
    LiOLi(config).build(ignore)
    for chunk in cache.glob("li-o-li/*.zarr/density/c/*"):
        for file in chunk.rglob("0"):
            if file.is_file():
                file.unlink()
    with pytest.raises(DataError, match="damaged; delete it"):
        LiOLi(config)[0]

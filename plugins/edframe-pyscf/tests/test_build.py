"""Densities of li-o-li are evaluated once: an interrupted build continues, all samples of a grid share a store."""

from collections import Counter

import numpy as np
import pytest
from edframe_pyscf import li_o_li
from edframe_pyscf.li_o_li import LiOLi
from edframe_pyscf.plugin import LiOLiConfig
from safetensors import safe_open
from safetensors.numpy import save_file

from edframe.data.copies import MARK, mark_of
from edframe.errors import DataError


@pytest.fixture
def evaluated(monkeypatch):
    """How often each row was evaluated."""
    counts = Counter()
    original = li_o_li.evaluated

    def counting(positions, matrix, grid):
        counts[grid.shape, positions.tobytes()] += 1
        return original(positions, matrix, grid)

    monkeypatch.setattr(li_o_li, "evaluated", counting)
    return counts


def ignore(done, total):
    pass


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_build_continues_and_evaluates_nothing_twice(evaluated, stop):
    def interrupt(done, total):
        if done == 7:
            raise stop

    with pytest.raises(stop):
        LiOLi(LiOLiConfig(grid=8, samples=30)).build(interrupt)
    assert 7 <= sum(evaluated.values()) < 30
    calls = []
    LiOLi(LiOLiConfig(grid=8, samples=30)).build(lambda *progress: calls.append(progress))
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


def test_a_sample_read_before_any_build_is_the_one_that_is_kept():
    config = LiOLiConfig(grid=8, samples=8)
    first = LiOLi(config)[2]
    LiOLi(config).build(ignore)
    second = LiOLi(config)[2]
    np.testing.assert_array_equal(first.density, second.density)
    np.testing.assert_array_equal(first.structure.cart_coords, second.structure.cart_coords)
    assert second.source[MARK] == mark_of(second)  # by which copies are found, of what is built alone
    kept = {key: value for key, value in second.source.items() if key != MARK}
    assert (first.id, first.electrons, first.source) == (second.id, second.electrons, kept)


def test_more_samples_of_one_grid_share_its_cache(evaluated):
    LiOLi(LiOLiConfig(grid=8, samples=8)).build(ignore)
    LiOLi(LiOLiConfig(grid=8, samples=25)).build(ignore)
    assert set(evaluated.values()) == {1}


def test_each_grid_has_its_cache_where_edframe_cache_says(cache, evaluated):
    for grid in (8, 12):
        LiOLi(LiOLiConfig(grid=grid, samples=8)).build(ignore)
    folders = sorted(path.name for path in (cache / "li-o-li").iterdir())
    assert folders == ["12", "8"]
    assert len(evaluated) == 16


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="set EDFRAME_CACHE to another folder"):
        LiOLi(LiOLiConfig(grid=8, samples=8)).build(ignore)


def test_a_cache_that_lost_its_values_is_an_error(cache):
    config = LiOLiConfig(grid=8, samples=8)
    LiOLi(config).build(ignore)
    (shard,) = cache.glob("li-o-li/8/samples.zarr/density-*/c/0/0")
    shard.unlink()
    with pytest.raises(DataError, match=r"density-512/c/0/0: No such file .* delete .*8, and the same"):
        LiOLi(config)[0]


@pytest.mark.parametrize("change", ["matrices", "evaluation"])
def test_densities_of_other_matrices_or_of_another_evaluation_are_not_used(evaluated, change, tmp_path, monkeypatch):
    config = LiOLiConfig(grid=8, samples=8)
    LiOLi(config).build(ignore)
    before = LiOLi(config)[3].density
    if change == "evaluation":
        monkeypatch.setattr(li_o_li, "EVALUATION", li_o_li.EVALUATION + 1)
    else:
        with safe_open(li_o_li.SHIPPED, framework="numpy") as file:
            matrices, metadata = file.get_tensor("density_matrices"), file.metadata()
        save_file({"density_matrices": np.roll(matrices, 1, axis=0)}, tmp_path / "other", metadata=metadata)
        monkeypatch.setattr(li_o_li, "SHIPPED", tmp_path / "other")
    assert not LiOLi(config).ready
    LiOLi(config).build(ignore)
    assert sum(evaluated.values()) == 16
    assert (LiOLi(config)[3].density == before).all() == (change == "evaluation")

"""The store of samples: what was written is read, whatever happens in between."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import Blosc
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.data.store import Store, StoreWriter, content_hash, fingerprint_of, layout
from edframe.data.store.chunk import shard_index_bytes
from edframe.data.store.layout import capacity_of
from edframe.data.store.place import Folder
from edframe.data.store.record import grid_hash
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample

TRICLINIC = [[4.0, 0.1, -0.2], [1.3, 3.7, 0.4], [-0.6, 0.9, 5.1]]
SHAPES = [(3, 4, 5), (4, 4, 4), (2, 2, 2), (6, 5, 7)]


def made(name, shape=(3, 4, 5), cell=TRICLINIC, spins=1, seed=0, structure=None, dtype=np.float32, source=None):
    """A sample of random numbers, which compress badly."""
    grid = Grid.of(cell, shape)
    density = np.random.default_rng([seed, *name.encode()]).random((spins, *shape)).astype(dtype)
    electrons = float(density[0].sum(dtype=np.float64)) * grid.voxel_volume
    if structure is None:
        structure = Structure(Lattice(TRICLINIC), ["O", "Li"], [[0.1, 0.2, 0.3], [0.7, -0.2, 1.1]])
    return Sample(name, structure, grid, density, electrons, source or {"made": [name, {"seed": seed}]})


def assert_same(read, wanted):
    np.testing.assert_array_equal(read.density, wanted.density.astype(np.float32), strict=True)
    assert (read.id, read.grid, read.electrons) == (wanted.id, wanted.grid, wanted.electrons)
    assert read.structure.as_dict() == wanted.structure.as_dict()
    assert read.source == wanted.source


def write(url, samples, **about):
    with StoreWriter(url, about) as writer:
        for position, sample in enumerate(samples):
            writer.add(sample, position=position)
    return Store(url)


@pytest.fixture
def url(tmp_path):
    return tmp_path / "samples.zarr"


@pytest.fixture(autouse=True)
def synced(monkeypatch):
    """No test loses power, so none waits for the disk; the calls are counted."""
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    return calls


@pytest.fixture
def small(monkeypatch):
    """Sizes with which a few samples fill many shards and chunks."""
    monkeypatch.setattr(layout, "SHARD_ROWS", 4)
    monkeypatch.setattr(layout, "CHUNK_ROWS", 8)


MIXED = [made(f"sample-{i}", SHAPES[i % 4], (TRICLINIC, [4.0, 5.0, 6.0])[i // 4 % 2]) for i in range(11)]


def test_mixed_grids_come_back_in_order_of_position(url):
    with StoreWriter(url, {"theory": "PBE", "cutoffs": (1, 2.5)}) as writer:
        for position in (3, 10, 0, 7, 1, 2, 9, 8, 4, 5, 6):
            writer.add(MIXED[position], position=10 * position, group=position // 2)
    store = Store(str(url))
    assert store.ids == [sample.id for sample in MIXED]
    for index, sample in enumerate(MIXED):
        assert_same(store[index], sample)
    for read, index in zip(store.read([9, 2, 2]), [9, 2, 2], strict=True):
        assert_same(read, MIXED[index])
    assert store.groups.tolist() == [i // 2 for i in range(11)]
    np.testing.assert_array_equal(
        store.grids[:, None] == store.grids, [[a.grid == b.grid for b in MIXED] for a in MIXED]
    )
    assert (store.contents.species, store.contents.max_atoms) == (("Li", "O"), 2)
    assert (store.contents.spins, store.contents.dimension) == (1, 3)
    assert store.about == {"theory": "PBE", "cutoffs": [1, 2.5]}
    assert [store.index_of(name) for name in ("sample-4", "absent")] == [4, None]
    assert store[0].density.flags.writeable
    with pytest.raises(IndexError, match="11 samples"):
        store[11]


@pytest.mark.parametrize(("dimension", "spins"), [(1, 1), (2, 2), (3, 2)])
def test_every_dimension_and_spin(url, dimension, spins):
    sample = made("a", (4, 3, 2)[:dimension], np.array(TRICLINIC)[:dimension, :dimension], spins, dtype=np.float64)
    store = write(url, [sample])
    assert_same(store[0], sample)
    assert (store.contents.spins, store.contents.dimension) == (spins, dimension)


STRUCTURES = {
    "charged": Structure(Lattice(TRICLINIC), ["Li"], [[0.1] * 3], charge=-1.5),
    "open": Structure(Lattice(TRICLINIC, pbc=(True, False, False)), ["Li"], [[1.7, -0.3, 0.1]]),
    "properties": Structure(
        Lattice(TRICLINIC), ["Li", "D"], [[0.1] * 3, [0.2] * 3], labels=["Li1", "D"],
        site_properties={"magmom": [0.1, None], "selective_dynamics": [[True, False, True], [False] * 3]},
        properties={"energy": -1.0, "by": {"number": 3}},
    ),
    "arrays": Structure(Lattice(TRICLINIC), ["Li"], [[0.1] * 3], site_properties={"force": [np.arange(3.0)]}),
    "oxidation": Structure(Lattice(TRICLINIC), ["Li+", "O2-"], [[0.1] * 3, [0.2] * 3]),
    "empty": Structure(Lattice(TRICLINIC), [], []),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Structure charge")
@pytest.mark.parametrize("name", STRUCTURES)
def test_all_that_a_structure_can_hold(url, tmp_path, name):
    store = write(url, [made("a", structure=STRUCTURES[name])])
    read, wanted = store[0].structure.as_dict(), STRUCTURES[name].as_dict()
    if name == "arrays":
        for structure in (read, wanted):
            force = structure["sites"][0]["properties"]["force"]
            structure["sites"][0]["properties"]["force"] = np.asarray(force).tolist()
    assert read == wanted
    assert store.check() == []
    assert write(tmp_path / "copy", [store[0]]).fingerprint() == store.fingerprint()


def test_a_site_with_two_species_is_refused(url):
    disordered = Structure(Lattice(TRICLINIC), [{"Li": 0.5, "Na": 0.25}, "O"], [[0.1] * 3, [0.2] * 3])
    with pytest.raises(DataError, match="a: it has sites of partial occupancy"):
        write(url, [made("a", structure=disordered)])


def test_no_class_is_made_by_name(url):
    """A property that looks like pymatgen's own notation of an object stays the plain data that it is."""
    suspicious = {"@module": "fractions", "@class": "Fraction", "numerator": 1}
    structure = Structure(Lattice(TRICLINIC), ["Li"], [[0.1] * 3], properties={"a": suspicious})
    assert write(url, [made("a", structure=structure)])[0].structure.properties == {"a": suspicious}


def test_plain_zarr_reads_it_as_the_package_says(url, small):
    """zarr-python's own reading, by the lines in the docstring, against ours and against what was written."""
    import edframe.data.store as package

    block = package.__doc__.split("edframe:\n\n")[1].split("\n\nA commit")[0]
    store = write(url, MIXED)
    code = compile(textwrap.dedent(block).replace("[7]", "[k]"), "docstring", "exec")
    for k, sample in enumerate(MIXED):
        names = {"zarr": zarr, "json": json, "math": math, "url": url, "k": k}
        exec(code, names)
        np.testing.assert_array_equal(names["density"], sample.density)
        np.testing.assert_array_equal(names["density"], store[k].density)
        assert str(names["group"]["id"][k]) == names["record"]["id"] == sample.id
    assert {name for name, _ in names["group"].members()} == {
        "id", "index", "record", *(f"density-{capacity_of(math.prod(shape))}" for shape in SHAPES)
    }  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_writing_in_any_sessions_gives_the_same_store(tmp_path, small, data):
    order = data.draw(st.permutations(range(len(MIXED))))
    actions = data.draw(st.lists(st.sampled_from(["go on", "flush", "reopen"]), min_size=11, max_size=11))
    groups = data.draw(st.lists(st.none() | st.integers(0, 3), min_size=11, max_size=11))
    url = tmp_path / uuid.uuid4().hex
    writer = StoreWriter(url)
    for position, action in zip(order, actions, strict=True):
        writer.add(MIXED[position], position=position, group=groups[position])
        if action == "flush":
            writer.flush()
        elif action == "reopen":
            writer.__exit__(None, None, None)
            writer = StoreWriter(url)
    writer.__exit__(None, None, None)
    store = Store(url)
    for read, wanted in zip(store.read(range(len(store))), MIXED, strict=True):
        assert_same(read, wanted)
    assert store.fingerprint() == fingerprint_of([s.id for s in MIXED], map(content_hash, MIXED))
    alike = [[i == j or (a is not None and a == b) for j, b in enumerate(groups)] for i, a in enumerate(groups)]
    np.testing.assert_array_equal(store.groups[:, None] == store.groups, alike)
    assert store.check() == []


@given(values=st.integers(1, 2**40))
def test_capacity_is_the_smallest_of_its_form(values):
    forms = (m << k for k in range(45) for m in range(8, 16))
    assert capacity_of(values) == min(form for form in forms if form >= values)


def test_equal_grids_and_no_others_share_a_number():
    cells = [[1.0, 2.0, 3.0], [[1.0, -0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [1.0, 2.0, 3.0 + 1e-15]]
    grids = [Grid.of(cell, shape, periodic) for cell in cells for shape in (4, (4, 4, 5)) for periodic in (True, False)]
    numbers = np.array([grid_hash(grid) for grid in grids])
    np.testing.assert_array_equal(numbers[:, None] == numbers, [[a == b for b in grids] for a in grids])


def test_fingerprint_tells_contents_not_their_compression(url, tmp_path, monkeypatch):
    first = write(url, MIXED).fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(layout, "DENSITY_CODEC", Blosc(cname="lz4", clevel=1, shuffle=Blosc.BITSHUFFLE))
        other = write(tmp_path / "lz4", MIXED)
    assert other.fingerprint() == first
    assert_same(other[3], MIXED[3])
    moved = STRUCTURES["charged"]
    for number, sample in enumerate([made("sample-0", seed=1), made("sample-0", SHAPES[0], structure=moved)]):
        assert write(tmp_path / str(number), [sample, *MIXED[1:]]).fingerprint() != first
    assert write(tmp_path / "reversed", MIXED[::-1]).fingerprint() != first


def test_one_sample_is_one_chunk_and_one_record(url, monkeypatch):
    samples = [made(f"s{i}", (16, 16, 16)) for i in range(30)]
    write(url, samples)
    asked = []
    get = Folder.get

    def counted(*args):
        data = get(*args)
        asked.append((args[1].split("/")[0], len(data)))
        return data

    monkeypatch.setattr(Folder, "get", counted)
    store = Store(url)
    opening = len(asked)
    store[17], store[3]
    chunks = [(array, size) for array, size in asked[opening:] if size != shard_index_bytes(array)]
    assert [array for array, _ in chunks] == ["record", "density-4096"] * 2
    assert all(size <= (4.2 * 16**3 if array == "density-4096" else 1000) for array, size in chunks)
    assert len(asked) - opening == len(chunks) + 2  # the index of each shard, once


def test_many_samples_are_few_files(url):
    write(url, [made(f"s{i}", SHAPES[i % 4]) for i in range(400)])
    files = [path for path in url.rglob("*") if path.is_file()]
    assert len(files) <= 20


def test_memory_and_other_urls(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/samples"
    with pytest.raises(DataError, match="there is no store of samples"):
        Store(url)
    write(url, MIXED[:5])
    with StoreWriter(url) as writer:
        assert len(writer) == 5
        for position, sample in enumerate(MIXED[5:], start=5):
            writer.add(sample, position=position)
    store = Store(url)
    for read, wanted in zip(store.read(range(11)), MIXED, strict=True):
        assert_same(read, wanted)
    assert store.check() == []
    capacity = capacity_of(60)
    np.testing.assert_array_equal(zarr.open_group(url, mode="r")[f"density-{capacity}"][1][:60],
                                  MIXED[4].density.ravel())  # fmt: skip
    local = write(f"file://{tmp_path}/there", MIXED)
    assert local.fingerprint() == store.fingerprint() == Store(tmp_path / "there").fingerprint()


# What stops a writer.


class Stopped(BaseException):
    pass


def fill(url, flush_every=3, then=lambda count: None):
    """Add what is missing, without the commit at the end that a context manager would make."""
    writer = StoreWriter(url)
    for position, sample in enumerate(MIXED):
        if sample.id not in writer:
            writer.add(sample, position=position)
            if len(writer) % flush_every == 0:
                writer.flush()
                then(len(writer))
    return writer


def test_writer_stopped_before_any_of_its_files_loses_nothing_committed(tmp_path, small, monkeypatch):
    whole = write(tmp_path / "whole", MIXED).fingerprint()
    put = Folder.put
    left = 0

    def stopping(*args):
        nonlocal left
        left -= 1
        if left == 0:
            raise Stopped
        put(*args)

    monkeypatch.setattr(Folder, "put", stopping)
    for last in range(1, 100):
        url, committed, left = tmp_path / str(last), [0], last
        try:
            fill(url, then=committed.append)
        except Stopped:
            stopped = True
        else:
            stopped = False
        left = 0
        stored = Store(url) if (url / "zarr.json").exists() else []
        assert len(stored) == committed[-1]
        for index in range(len(stored)):
            assert_same(stored[index], MIXED[index])
        with fill(url):
            pass
        assert Store(url).fingerprint() == whole
        assert Store(url).check() == []
        if not stopped:
            break
    assert last > 30
    assert not stopped


def test_bytes_are_on_disk_before_their_name(url, synced, monkeypatch):
    replace = Path.replace

    def noted(self, target):
        synced.append("replace")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    write(url, MIXED[:1])
    assert len(synced) == 3 * 13  # files that are written, some twice
    assert [kind if isinstance(kind, str) else "sync" for kind in synced] == ["sync", "replace", "sync"] * 13


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_commit_that_failed_is_repeated(url, small, monkeypatch, error):
    """By the same writer, at its end: nothing is lost and nothing is there twice."""
    put, failures = Folder.put, []

    def failing(self, key, data):
        if b'"samples": 8' in data and not failures:
            failures.append(key)
            raise error
        put(self, key, data)

    monkeypatch.setattr(Folder, "put", failing)
    with pytest.raises(BaseException) as caught, StoreWriter(url) as writer:  # noqa: PT012
        for position, sample in enumerate(MIXED):
            writer.add(sample, position=position)
    if isinstance(error, OSError):
        assert isinstance(caught.value, DataError)
        assert "No space left on device" in str(caught.value)
        assert "the 4 samples committed before are safe" in str(caught.value)
    else:
        assert caught.value is error
    store = Store(url)
    assert store.ids == [sample.id for sample in MIXED[:8]]
    assert store.check() == []


KILLING = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_store import MIXED, Store, fill, layout, write
layout.SHARD_ROWS, layout.CHUNK_ROWS, os.fsync = 4, 8, lambda _: None
folder, generator = Path(sys.argv[2]), random.Random(0)
whole = write(folder / "whole", MIXED).fingerprint()
url, kills, stores = folder / "0", 0, 0
while kills < 20 or stores < 3:
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with fill(url, 2, lambda count: os.write(written, bytes([count]))):
            pass
        os._exit(0)
    os.close(written)
    told = b"".join(os.read(read, 1) for _ in range(generator.randrange(4)))  # so many commits, then a little longer
    time.sleep(generator.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    told += os.read(read, 100)
    os.close(read)
    kills += os.WIFSIGNALED(status)
    store = Store(url) if (url / "zarr.json").exists() else []
    assert not told or len(store) >= told[-1], (told, len(store))
    assert len(store) == 0 or store.check() == []
    assert len(store) == 0 or list(store.ids) == [sample.id for sample in MIXED[: len(store)]]
    if len(store) == len(MIXED):
        assert store.fingerprint() == whole
        stores += 1
        url = folder / str(stores)
print(kills, stores)
"""


def test_writers_killed_at_random_moments(tmp_path):
    command = [sys.executable, "-c", KILLING, str(Path(__file__).parent), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    kills, stores = map(int, result.stdout.split())
    assert kills >= 20
    assert stores >= 3


def test_second_writer_is_refused(url):
    with StoreWriter(url) as writer:
        writer.add(MIXED[0], position=0)
        with pytest.raises(DataError, match="being written by another process"):
            StoreWriter(url)
        assert len(Store(url)) == 0
    with pytest.raises(RuntimeError, match="maker"), StoreWriter(url) as writer:  # noqa: PT012
        writer.add(MIXED[1], position=1)
        raise RuntimeError("maker")
    assert Store(url).ids == ["sample-0", "sample-1"]


def test_ten_seconds_or_a_shard_commit(url, small, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("edframe.data.store.writer.time.monotonic", lambda: now[0])
    seen = []
    with StoreWriter(url) as writer:
        for position, sample in enumerate(MIXED):
            now[0] = {5: 11.0, 6: 20.0, 7: 22.0}.get(position, now[0])
            writer.add(sample, position=position)
            seen.append(len(Store(url)))
    # 4 are a shard here; the sixth comes 11 s after the start, the eighth another 11 s later
    assert seen == [0, 0, 0, 4, 4, 6, 6, 8, 8, 8, 8]
    assert len(Store(url)) == 11


# What is refused.


def test_samples_that_do_not_fit_are_refused(url):
    with StoreWriter(url, {"theory": "PBE"}) as writer:
        writer.add(MIXED[0], position=0)
        with pytest.raises(DataError, match="has a sample 'sample-0' already"):
            writer.add(MIXED[0], position=1)
        with pytest.raises(DataError, match=r"b: 2 spin channels in 3 dimensions, while .* have 1 in 3"):
            writer.add(made("b", spins=2), position=1)
        with pytest.raises(DataError, match="c: its source is not plain data"):
            writer.add(made("c", source={"file": Path("x")}), position=1)
    with StoreWriter(url, {"theory": "other"}) as writer:
        assert "sample-0" in writer
        assert "b" not in writer
        with pytest.raises(DataError, match="2 spin channels"):
            writer.add(made("b", spins=2), position=1)
    assert Store(url).ids == ["sample-0"]
    assert Store(url).about == {"theory": "PBE"}


def test_what_is_no_store_is_refused(url, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"samples\.zarr: there is no store of samples"):
        Store(url)
    zarr.create_group(tmp_path / "other.zarr")
    for kind in (Store, StoreWriter):
        with pytest.raises(DataError, match=r"other\.zarr is not a store of samples"):
            kind(tmp_path / "other.zarr")
    with pytest.raises(DataError, match=r"unknown://here cannot be opened \(Protocol not known"):
        Store("unknown://here")
    with monkeypatch.context() as patch:
        patch.setattr("edframe.data.store.commit.FORMAT", 2)
        write(url, MIXED[:2])
    with pytest.raises(DataError, match="is a store of format 2; this edframe reads format 1: upgrade edframe"):
        Store(url)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file cannot be read \(Not a directory\)"):
        StoreWriter(tmp_path / "file")


def test_empty_store_has_no_samples(url):
    store = write(url, [])
    assert (len(store), list(store.ids), store.groups.tolist(), store.check()) == (0, [], [], [])
    assert store.read([]) == []
    assert store.contents.species == ()


# Damage.


def test_every_changed_byte_is_found_or_means_nothing(url, small):
    wanted = write(url, MIXED)
    names = [sample.id for sample in MIXED]
    generator = np.random.default_rng(0)
    seen = 0
    for path in sorted(path for path in url.rglob("*") if path.is_file() and not path.name.startswith(".")):
        whole = path.read_bytes()
        key = str(path.relative_to(url))
        places = {0, len(whole) - 1, *generator.integers(0, len(whole), 16).tolist()}
        for place in places:
            changed = bytearray(whole)
            changed[place] ^= int(generator.integers(1, 256))
            path.write_bytes(changed)
            try:
                damages = Store(url).check()
            except DataError as error:
                damages = [str(error)]
            assert all(key in damage for damage in damages)
            assert damages or path.name == "zarr.json"
            seen += bool(damages)
            if path.name == "zarr.json" and key != "zarr.json":  # for other programs; ours reads on, and reads right
                for index, sample in enumerate(Store(url).read(range(11))):
                    assert_same(sample, MIXED[index])
            elif damages and not key.startswith(("id", "index", "zarr")):
                assert any(f"'{name}'" in damage for name in names for damage in damages)
        path.write_bytes(whole)
    assert seen > 100
    assert Store(url).fingerprint() == wanted.fingerprint()


@pytest.mark.parametrize("damage", ["truncated", "emptied", "removed", "older", "exchanged"])
def test_damaged_shard_names_sample_and_file(url, small, damage):
    samples = [made(f"s{i}") for i in range(7)]
    write(url, samples[:5])
    array = f"density-{capacity_of(60)}"
    first, second = (url / array / "c" / number / "0" for number in "01")
    older = second.read_bytes()
    with StoreWriter(url) as writer:
        for position, sample in enumerate(samples[5:], start=5):
            writer.add(sample, position=position)
    other = first.read_bytes()
    if damage == "removed":
        second.unlink()
    elif damage == "older":
        second.write_bytes(older)
    elif damage == "exchanged":
        first.write_bytes(second.read_bytes())
        second.write_bytes(other)
    else:
        second.write_bytes(second.read_bytes()[: 100 if damage == "truncated" else 0])
    store = Store(url)
    if damage == "exchanged":  # each is whole
        assert [f"'s{i}'" in text for i, text in enumerate(store.check())] == [True] * 7
        with pytest.raises(DataError, match=r"sample 's5' is damaged .*not of the same state as the index"):
            store[5]
        return
    with pytest.raises(DataError, match=rf"sample 's6' is damaged .{array}/c/1/0: "):
        store[6]
    assert_same(store[0], samples[0])
    assert all(f"{array}/c/1/0" in text for text in store.check())
    with pytest.raises(DataError, match="restore"), StoreWriter(url) as writer:
        writer.add(made("s7"), position=7)

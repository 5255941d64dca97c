"""Samples that are made once: resumed, made anew when their inputs change, failures listed; and copied to a store."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from edframe.contract.component import ComponentConfig
from edframe.data.copying import copy_to_store
from edframe.data.prepared import Job, PreparedDataset
from edframe.data.store import Store, StoreWriter
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.sample import Sample

CALLS: list[str] = []
"""Ids of the jobs that were done in this process."""


class Options(ComponentConfig):
    scale: float = 1.0
    """Nothing."""


class Cubes(PreparedDataset):
    """A uniform density of as many electrons as each job says, in cubes of two sizes."""

    maker = f"{__name__}:make"

    def __init__(self, counts, **options):
        super().__init__("cubes", Options(**options))
        self.counts = counts

    def jobs(self):
        return [Job(f"cube-{i}", {"electrons": n}, group=i // 2 if n > 4 else None) for i, n in enumerate(self.counts)]


def make(job):
    CALLS.append(job.id)
    electrons = job.inputs["electrons"]
    if electrons == 0:
        raise DataError("there are no electrons")
    if electrons < 0:
        raise ZeroDivisionError("an accident")
    if electrons == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    side = 2.0 if electrons % 2 else 3.0
    structure = Structure(Lattice.cubic(side), ["He" if electrons < 4 else "O"], [[electrons / 100, 0, 0]])
    density = np.full((1, 4, 4, 4), electrons / side**3, np.float32)
    return Sample("made", structure, Grid.of([side] * 3, 4), density, float(electrons), {"electrons": electrons})


def ignore(done, total):
    """No progress to show."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDFRAME_CACHE", str(tmp_path / "cache"))
    CALLS.clear()


def built(counts, **options):
    dataset = Cubes(counts, **options)
    dataset.build(ignore)
    return dataset


def test_samples_are_in_the_order_of_the_jobs_with_their_ids():
    dataset = built([3, 2, 5, 1])
    assert dataset.ready
    assert list(dataset.ids) == ["cube-0", "cube-1", "cube-2", "cube-3"]
    assert [dataset[i].electrons for i in range(4)] == [3, 2, 5, 1]
    assert [dataset[i].id for i in range(4)] == list(dataset.ids)
    assert dataset.contents == Contents(species=("He", "O"), max_atoms=1)
    with pytest.raises(IndexError):
        dataset[4]


def test_buckets_are_alike_for_equal_grids_only():
    labels = built([3, 2, 5, 8]).buckets
    assert labels[0] == labels[2] != labels[1] == labels[3]


def test_groups_of_jobs_stay_together_and_others_are_alone():
    groups = built([5, 6, 1, 2, 7]).groups
    assert groups[0] == groups[1]
    assert len(set(groups)) == 4


def test_what_is_there_is_not_made_again():
    built([3, 2])
    assert built([3, 2, 5]).ids[2] == "cube-2"
    assert CALLS == ["cube-0", "cube-1", "cube-2"]


def test_what_was_made_under_other_options_is_used_from_there():
    first = built([3, 2])
    second = Cubes([2, 3], scale=2.0)  # under other names, too
    assert second.ready
    second.build(ignore)
    assert CALLS == ["cube-0", "cube-1"]
    assert second.folder == first.folder
    assert [second[i].electrons for i in range(2)] == [2, 3]
    assert list(second.ids) == ["cube-0", "cube-1"]
    assert not Cubes([3, 1], scale=2.0).ready


def test_what_is_missing_there_is_made_there():
    first = built([3, 2])
    assert len(Cubes([3, 2, 5], scale=2.0).ids) == 2
    second = built([3, 2, 5], scale=2.0)
    assert CALLS == ["cube-0", "cube-1", "cube-2"]
    assert second.folder == first.folder


def test_a_store_of_its_own_gets_copies_of_what_others_have():
    own, first = built([7], scale=2.0), built([3, 2])
    second = built([7, 3, 2, 5], scale=2.0)
    assert CALLS == ["cube-0", "cube-0", "cube-1", "cube-3"]
    assert second.folder == own.folder != first.folder
    shutil.rmtree(first.folder)
    assert [Cubes([7, 3, 2, 5], scale=2.0)[i].electrons for i in range(4)] == [7, 3, 2, 5]


def test_a_damaged_sample_elsewhere_is_made_again():
    built([7], scale=2.0)
    flip(next((built([3]).folder / "samples.zarr").glob("density-*/c/0/0")))
    assert built([3, 2], scale=2.0)[0].electrons == 3
    assert CALLS == ["cube-0", "cube-0", "cube-0", "cube-1"]


def test_two_jobs_of_the_same_inputs_are_one_sample():
    dataset = built([3, 3])
    assert len(CALLS) == 1
    assert list(dataset.ids) == ["cube-0", "cube-1"]
    assert dataset[1].id == "cube-1"
    assert dataset.groups[0] == dataset.groups[1]


def test_samples_of_a_version_whose_keys_had_the_id_are_found():
    inputs = {"electrons": 3}
    key = hashlib.sha256(json.dumps(["cube-0", inputs], sort_keys=True).encode()).hexdigest()[:24]
    dataset = Cubes([3])
    with StoreWriter(dataset.folder / "samples.zarr", {}) as writer:
        writer.add(replace(make(Job(key, inputs)), id=key), position=0)
    CALLS.clear()
    assert Cubes([3]).ready
    assert built([3])[0].id == "cube-0"
    assert built([3, 2], scale=2.0)[0].electrons == 3
    assert CALLS == ["cube-1"]


def test_a_job_whose_inputs_change_is_made_anew_and_former_samples_are_not_counted():
    first = built([3, 8])
    second = built([3, 1])
    assert CALLS == ["cube-0", "cube-1", "cube-1"]
    assert second[1].electrons == 1
    assert second.contents == Contents(species=("He",), max_atoms=1)
    assert second.fingerprint() != first.fingerprint()
    assert second.fingerprint() == built([3, 1]).fingerprint()


def test_failures_are_listed_stop_nothing_and_are_tried_again_when_asked():
    dataset = built([3, 0, 2, -1])
    assert list(dataset.ids) == ["cube-0", "cube-2"]
    assert dataset.failures == {"cube-1": "there are no electrons", "cube-3": "ZeroDivisionError: an accident"}
    assert dataset.ready  # nothing is left that was not tried
    dataset.build(ignore)
    assert CALLS == ["cube-0", "cube-1", "cube-2", "cube-3", "cube-1", "cube-3"]


def test_nothing_made_is_an_error_with_the_first_reason():
    with pytest.raises(DataError, match="none of the 2 samples of cubes could be made; cube-0: there are no elec"):
        built([0, 0])


def test_before_it_is_built_it_says_what_to_do():
    dataset = Cubes([3])
    assert not dataset.ready
    for ask in (lambda: dataset.ids, lambda: dataset.contents, lambda: dataset[0], dataset.fingerprint):
        with pytest.raises(DataError, match="`edframe data build cubes`"):
            ask()


def test_recompute_says_what_to_delete():
    dataset = built([3])
    with pytest.raises(DataError, match="delete"):
        dataset.build(ignore, recompute=True)


def test_two_samples_of_one_id_are_refused():
    dataset = Cubes([1, 2])
    dataset.jobs = lambda: [Job("same", {"electrons": 1}), Job("same", {"electrons": 2})]
    with pytest.raises(DataError, match="two samples have the id 'same'"):
        dataset.build(ignore)


def test_an_interrupted_build_keeps_what_is_done():
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cubes([3, 2, 5]).build(interrupt)
    dataset = built([3, 2, 5])
    assert CALLS == ["cube-0", "cube-1", "cube-2"]
    assert dataset.fingerprint() == built([3, 2, 5]).fingerprint()


def test_progress_counts_what_was_there():
    built([3, 2])
    seen = []
    Cubes([3, 2, 5]).build(lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]


def test_a_copy_is_a_store_with_groups_that_continues(tmp_path):
    dataset = built([5, 6, 1, 2])
    target = tmp_path / "copy.zarr"
    seen = []
    copy_to_store(dataset, str(target), {"name": "cubes"}, lambda done, total: seen.append(done))
    store = Store(target)
    assert list(store.ids) == list(dataset.ids)
    assert store.fingerprint() == dataset.fingerprint()
    assert store.about["made from"] == {"name": "cubes"}
    assert store.groups[0] == store.groups[1] != store.groups[2]
    copy_to_store(built([5, 6, 1, 2, 3]), str(target), {"name": "cubes"}, lambda done, total: None)
    assert list(Store(target).ids) == [f"cube-{i}" for i in range(5)]


def test_a_copy_into_a_store_of_other_samples_is_refused(tmp_path):
    target = str(tmp_path / "copy.zarr")
    copy_to_store(built([5, 6]), target, {}, ignore)
    with pytest.raises(DataError, match="another sample 'cube-1'"):
        copy_to_store(built([5, 8]), target, {}, ignore)
    assert Store(target).fingerprint() == built([5, 6]).fingerprint()


def test_a_complete_dataset_writes_nothing():
    dataset = built([3, 2])
    before = {path: path.stat().st_mtime_ns for path in dataset.folder.rglob("*")}
    seen = []
    Cubes([3, 2]).build(lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]
    assert {path: path.stat().st_mtime_ns for path in dataset.folder.rglob("*")} == before


def test_a_folder_that_cannot_be_written_is_one_sentence(monkeypatch):
    dataset = built([3, 2])

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    sentence = rf"{dataset.folder} cannot be written \(Permission denied\); set EDFRAME_CACHE to another folder"
    with pytest.raises(DataError, match=sentence):
        Cubes([3, 2, 1]).build(ignore)


DAMAGES = {
    "zarr.json": lambda store: (store / "zarr.json").write_text("{"),
    "its checksum": lambda store: flip(store / "zarr.json"),
    "index": lambda store: flip(store / "index" / "c" / "0" / "0"),
    "record": lambda store: flip(store / "record" / "c" / "0"),
    "density": lambda store: flip(next(store.glob("density-*/c/0/0"))),
    "shard": lambda store: next(store.glob("density-*/c/0/0")).unlink(),
    "file": lambda store: (shutil.rmtree(store), store.write_text("")),
}


def flip(file):
    """Change a bit in the first third of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_advice_on_a_damaged_cache_can_be_followed(damage):
    folder = built([3, 2]).folder
    damage(folder / "samples.zarr")
    with pytest.raises(DataError, match=f"delete {folder}, and the same command makes it again"):
        [Cubes([3, 2])[index] for index in range(2)]
    shutil.rmtree(folder)
    assert len(built([3, 2])) == 2


def test_what_a_kill_before_the_first_sample_leaves_is_gone_on_from():
    folder = Cubes([3]).folder
    (folder / "samples.zarr" / "index").mkdir(parents=True)
    (folder / "samples.zarr" / "index" / ".lock").touch()
    assert not Cubes([3]).ready
    assert len(built([3])) == 1


def test_damaged_failures_are_tried_again():
    folder = built([3, 0]).folder
    (folder / "failures.jsonl").write_bytes(b'[1]\n\xff\xfe\n{"reason": "none"}\n3\n')
    assert not Cubes([3, 0]).ready
    assert built([3, 0]).failures == {"cube-1": "there are no electrons"}


@pytest.mark.parametrize("failing", [False, True])
def test_a_second_process_waits_for_the_first_and_makes_nothing_again(capsys, failing):
    counts = [3, 0] if failing else [3, 2]
    first, second = Cubes(counts), Cubes(counts)
    waiting = threading.Thread(target=second.build, args=(ignore,))
    said = []

    def advance(done, total):
        if done == 1 and not waiting.ident:
            waiting.start()
            while not (line := capsys.readouterr().err):
                time.sleep(0.01)
            said.append(line)

    first.build(advance)
    waiting.join()
    assert said == [f"The samples of cubes are being made in {first.folder} by another process; waiting for it.\n"]
    assert CALLS == ["cube-0", "cube-1"]
    assert second.ready
    assert second.fingerprint() == first.fingerprint()


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
import test_prepared as t
t.Cubes.maker = "test_prepared:make"
add = t.StoreWriter.add
def add_and_flush(self, *args, **kwargs):
    add(self, *args, **kwargs)
    self.flush()
t.StoreWriter.add = add_and_flush
t.Cubes(eval(sys.argv[2])).build(lambda done, total: None)
"""


def test_a_build_killed_in_the_middle_goes_on_without_a_lost_or_doubled_sample():
    counts = [3, 2, 99, 5, 1]
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), repr(counts)]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    path = Cubes(counts).folder / "samples.zarr"
    assert len(Store(path)) == 2
    with StoreWriter(path) as writer:  # the lock went with the process
        assert len(writer) == 2
    dataset = built([3, 2, 98, 5, 1])  # the same folder, for the options are the same
    assert CALLS == ["cube-2", "cube-3", "cube-4"]
    assert len(dataset) == 5
    assert dataset.fingerprint() == built([3, 2, 98, 5, 1]).fingerprint()

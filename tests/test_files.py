"""Files that appear whole or not at all, and locks, with writers in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from edframe.files import locked, whole

HOLDING = """
import sys, time
from pathlib import Path
from edframe.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

WRITING = """
import sys
from pathlib import Path
from edframe.files import whole
for _ in range(100):
    with whole(Path(sys.argv[1])) as file:
        file.write(sys.argv[2].encode() * 1000)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds ``tmp_path/made/lock``."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "made" / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_file_is_the_old_one_until_all_is_written(tmp_path):
    path = tmp_path / "made" / "file"
    with whole(path) as file:
        file.write(b"old")
    with whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_error_leaves_the_old_file_alone_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def stopped():
        with whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_two_processes_write_one_file_and_one_of_them_wins(tmp_path):
    command = [sys.executable, "-c", WRITING, str(tmp_path / "file")]
    writers = [subprocess.Popen([*command, letter]) for letter in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert (tmp_path / "file").read_bytes() in (b"a" * 1000, b"b" * 1000)
    assert os.listdir(tmp_path) == ["file"]


def test_unfinished_name_is_written_over(tmp_path):
    (tmp_path / "unfinished").write_bytes(b"of a writer that was killed")
    with whole(tmp_path / "file", unfinished=tmp_path / "unfinished") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["file"]


def test_another_process_with_the_lock_is_noticed(holder, tmp_path):
    with pytest.raises(BlockingIOError), locked(tmp_path / "made" / "lock"):
        pass


def test_lock_of_a_killed_process_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "made" / "lock"):
        pass


def test_waiting_ends_when_the_other_leaves(holder, tmp_path):
    start = time.monotonic()
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import os, signal, time; time.sleep(0.5); os.kill({holder.pid}, signal.SIGTERM)"]
    )
    with locked(tmp_path / "made" / "lock", wait=True):
        assert time.monotonic() > start + 0.5
    killer.wait()


def test_lock_is_not_shared_within_a_process(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock"):
        pass
    with locked(tmp_path / "lock"):
        pass

"""Jobs in this process, in local ones, and on a Dask cluster: what is yielded, what is survived, what ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Sequence

import pytest

from edframe import jobs
from edframe.errors import DataError

WORK = """
import os, signal, time
from pathlib import Path

class Odd(Exception):
    pass

def double(value):
    if value == "odd":
        raise Odd("cannot be doubled")
    if value == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * value

def note(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(0.05)
    names = "OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "CUDA_VISIBLE_DEVICES"
    return os.getpid(), *map(os.environ.get, names)

def stay(path):
    note(path)
    time.sleep(600)
"""


def eventually(condition):
    """Whether a condition comes true within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A module that other processes can import."""
    (tmp_path / "edframe_test_work.py").write_text(WORK, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "edframe_test_work"


class Counted(Sequence):
    """Inputs that know how many were asked for."""

    def __init__(self, values):
        self.values, self.taken = values, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        self.taken += 1
        return self.values[index]


def test_one_worker_is_this_process_without_dask(tmp_path, work):
    code = f"""
        import os, sys
        from edframe import jobs
        results = dict(jobs.run_jobs("{work}:note", ["a", "b"], workers=1))
        assert {{pid for pid, *_ in results.values()}} == {{os.getpid()}}
        assert list(results) == [0, 1]
        assert "dask" not in sys.modules
    """
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_exceptions_are_results_in_this_process(work):
    results = dict(jobs.run_jobs(f"{work}:double", [1, "odd", 3]))
    assert (results[0], results[2]) == (2, 6)
    assert "cannot be doubled" in str(results[1])
    (missing,) = dict(jobs.run_jobs(f"{work}:triple", [1])).values()
    assert isinstance(missing, AttributeError)


def test_no_inputs_start_nothing():
    assert list(jobs.run_jobs("math:sqrt", [], workers=8)) == []


def test_in_local_workers_nothing_stops_the_others(work, capfd):
    """Two jobs kill their workers, two raise; every other one is done, though it may have shared a worker with them."""
    inputs = [1, "kill", *range(2, 9), "odd", "kill", *range(9, 20), "odd"]
    results = dict(jobs.run_jobs(f"{work}:double", inputs, workers=2))
    assert sorted(results) == list(range(len(inputs)))
    for index, value in enumerate(inputs):
        result = results[index]
        if value == "kill":
            assert isinstance(result, DataError)
            assert "killed" in str(result)
        elif value == "odd":
            assert type(result).__name__ == "Odd"
        else:
            assert result == 2 * value
    assert capfd.readouterr() == ("", "")


def test_local_workers_are_processes_of_one_thread_and_take_few_jobs_at_a_time(work, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    before = dict(os.environ)
    inputs = Counted([str(tmp_path / f"job-{number}") for number in range(50)])
    with contextlib.closing(jobs.run_jobs(f"{work}:note", inputs, workers=2)) as results:
        seen = [next(results)[1] for _ in range(10)]
        assert inputs.taken <= 10 + 2 * 2 * 2  # two for each of two threads, given out once more after each batch
    assert os.getpid() not in {pid for pid, *_ in seen}
    assert {threads for _, threads, *_ in seen} == {"1"}
    assert {device for *_, device in seen} == {"3", "5"}  # one for each
    assert {trimmed for *_, trimmed, _ in seen} == {None}  # Dask's 65536 bytes would double the time of a training step
    assert dict(os.environ) == before
    assert len(list(tmp_path.glob("job-*"))) <= inputs.taken


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(jobs, "ANSWER", 0.5)
    with socket.socket() as taken:  # bound, so no one else listens there; it does not listen itself
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DataError, match=f"no Dask scheduler answers at {address}; give the address"):
            next(jobs.run_jobs("math:sqrt", [1.0], scheduler=address))
    with pytest.raises(DataError, match="answers at nowhere://at-all;"):
        next(jobs.run_jobs("math:sqrt", [1.0], scheduler="nowhere://at-all"))


@pytest.fixture
def cluster(tmp_path, work):
    """The address of a scheduler with one worker, each a process of its own, and the scheduler's process."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    file = tmp_path / "scheduler.json"
    with contextlib.ExitStack() as started:

        def start(*arguments):
            process = subprocess.Popen([*dask, *arguments], **quiet)
            started.callback(process.wait)
            started.callback(process.kill)
            return process

        local = ("--host", "127.0.0.1", "--no-dashboard")
        scheduler = start("scheduler", *local, "--port", "0", "--scheduler-file", str(file))
        start("worker", "--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1",
              "--scheduler-file", str(file))  # fmt: skip
        assert eventually(lambda: file.exists() and file.read_text()), "the scheduler did not start"
        yield json.loads(file.read_text())["address"], scheduler


def test_a_dask_cluster_does_the_work_and_keeps_no_results(cluster, work, capfd):
    from distributed import Client

    address, scheduler = cluster
    inputs = [*range(150), "odd"]
    with contextlib.closing(jobs.run_jobs(f"{work}:double", inputs, scheduler=address)) as stream:
        results = dict(next(stream) for _ in range(140))
        with Client(address, set_as_default=False) as visitor:
            assert eventually(lambda: len(visitor.who_has()) <= len(inputs) - 140)
        results.update(stream)
    assert type(results.pop(150)).__name__ == "Odd"
    assert results == {index: 2 * index for index in range(150)}
    with Client(address, set_as_default=False) as visitor:
        assert eventually(lambda: not visitor.who_has())
    stream = jobs.run_jobs("time:sleep", [0, 600], scheduler=address)
    assert next(stream) == (0, None)
    scheduler.kill()
    with pytest.raises(DataError, match="gone away"):
        next(stream)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_ends_the_workers_without_a_word(work, tmp_path):
    script = f"""
        import contextlib, signal, sys
        from edframe import jobs
        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
            names = [f"job-{{number}}" for number in range(20)]
            try:
                with contextlib.closing(jobs.run_jobs("{work}:stay", names, workers=2)) as results:
                    next(results)
            except KeyboardInterrupt:
                print("stopped")
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "script.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, start_new_session=True, cwd=tmp_path)  # fmt: skip
    try:
        assert eventually(lambda: len(list(tmp_path.glob("job-*"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        # The pipe closes when the last worker, which holds it too, has ended.
        text, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, text) == (0, "stopped\n")
    assert len(list(tmp_path.glob("job-*"))) == 2


def test_local_workers_do_not_mind_another_scheduler():
    """Dask's schedulers all want port 8787, and say so where it is taken."""
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # then it is taken already
            other.bind(("", 8787))
            other.listen()
        with warnings.catch_warnings(action="error", category=UserWarning):
            assert dict(jobs.run_jobs("math:sqrt", [1.0, 4.0], workers=2)) == {0: 1.0, 1: 2.0}

"""Many independent pieces of work, in this process, in local ones, or on any Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from edframe.errors import DataError, imported

__all__ = ["run_jobs"]

ANSWER = 5
"""Seconds in which a scheduler must answer."""

WAITING = 100
"""Jobs that a cluster is given at least, though it has no worker yet: one that adapts grows by what waits."""

LOCAL = {
    "distributed.worker.multiprocessing-method": "spawn",  # OpenMP's threads do not survive a fork
    "distributed.worker.memory.target": False,  # results are fetched at once: nothing to write to disk
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # memory that a library does not free would pause a worker for good
    "distributed.scheduler.allowed-failures": 0,  # suspects are tried again below, alone
    # 64 KiB, which Dask sets: each tensor's memory goes back to the system at once, and half of a training step is
    # spent on fetching it again. None: as in any other process.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
"""Options of Dask for local workers. One that passes 95% of its share of the memory is killed, and started anew."""

WORKERS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "THP_MEM_ALLOC_ENABLE": "1",  # PyTorch in pages of 2 MiB: a fifth less time of a large prediction, see predict
    "DASK_LOGGING__DISTRIBUTED": "critical",  # from a worker's first line on; its options come only later
}
"""Environment of local workers."""


def run_jobs(
    function: str, inputs: Sequence[Any], *, workers: int = 1, scheduler: str | None = None
) -> Generator[tuple[int, Any], None, None]:
    """Yield ``(index, result)`` of ``function(inputs[index])`` in the order in which they finish.

    function: ``"module:name"``, imported where the work is done. What it raises is the result, as an Exception, and
    stops nothing else; so is a DataError for a job that kills its worker, after a second try in which it ran alone.
    workers: local processes of one thread each, which share the CUDA devices; 1: this one. scheduler: address of a
    running Dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers are used instead; with the same packages.
    Closing the iterator early, by Ctrl-C too, cancels what has not begun; hold it in ``contextlib.closing`` for that.
    Raises DataError when the scheduler does not answer, or goes away.

    Inputs and results travel between processes in Dask's own serialisation, which can run code: name only schedulers
    whose users you trust. Local workers listen on 127.0.0.1.
    """
    workers = min(workers, len(inputs))
    if workers <= 1 and scheduler is None:
        for index, value in enumerate(inputs):
            yield index, _attempt(function, value)
        return
    killed = _distributed().KilledWorker
    suspects = []
    with _client(workers, scheduler) as client:
        waiting = WAITING if scheduler else 0
        for index, result in _finished(client, function, inputs, range(len(inputs)), waiting):
            if isinstance(result, killed):
                suspects.append(index)
            else:
                yield index, result
        # Dask suspects every job that a worker had been given when it died. Alone, the one that kills shows itself.
        for suspect in suspects:
            for index, result in _finished(client, function, inputs, [suspect], waiting):
                yield index, _killed() if isinstance(result, killed) else result


def _finished(
    client: Any, function: str, inputs: Sequence[Any], indices: Iterable[int], waiting: int
) -> Iterator[tuple[int, Any]]:
    """Results as they come, with no more jobs at the scheduler than two for each thread, or ``waiting``."""
    todo = iter(indices)
    running: dict[Any, int] = {}
    finished = _distributed().as_completed(loop=client.loop, with_results=True, raise_errors=False)
    done: list[tuple[int, Any]] = []
    try:
        while True:
            room = max(waiting, 2 * sum(client.nthreads().values()), 1) - len(running)
            for index in itertools.islice(todo, max(room, 0)):
                future = client.submit(_call_there, function, inputs[index], pure=False)
                running[future] = index
                finished.add(future)
            while done:  # after new jobs were given out: the workers go on while the caller stores what is done
                yield done.pop(0)
            if not running:
                return
            for future, result in finished.next_batch():
                if future.status not in ("finished", "error"):
                    raise DataError("the Dask scheduler has gone away; what is done is saved; repeat the command")
                done.append((running.pop(future), result[1] if future.status == "error" else result))
            del future, result  # their last references: the worker lets the result go
    finally:
        if client.status == "running":
            client.cancel(list(running))


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler at an address, or of local workers, which end with it; Dask prints nothing."""
    import dask

    distributed = _distributed()
    silent = logging.CRITICAL + 1
    quiet = distributed.utils.silence_logging_cmgr(silent)
    with quiet, dask.config.set(LOCAL), _environment(), contextlib.ExitStack() as opened:
        if os.name == "posix":
            resource_tracker.ensure_running()  # started later, it would let interrupts through
        if scheduler is not None:
            with ThreadPoolExecutor(1) as thread:  # this one may have a loop of its own, as in a notebook
                thread.submit(asyncio.run, _reach(scheduler)).result()
        try:
            with _no_interrupts():  # nor do the workers know any: they end with the cluster, without a word
                cluster: Any = scheduler
                if scheduler is None:
                    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": silent}
                    cluster = opened.enter_context(distributed.LocalCluster(n_workers=workers, **options))
                client = opened.enter_context(distributed.Client(cluster, timeout=ANSWER, set_as_default=False))
            yield client
        finally:
            with _no_interrupts():
                opened.close()


async def _reach(scheduler: str) -> None:
    """Raises DataError when nothing that speaks Dask's protocol answers; a Client would go on trying on its own."""
    try:
        await (await _distributed().comm.connect(scheduler, timeout=ANSWER)).close()
    except Exception as error:  # whatever else listens there may answer anything
        raise DataError(
            f"no Dask scheduler answers at {scheduler}; give the address that `dask scheduler` printed, such as "
            "tcp://10.0.0.1:8786, or none to work on this machine"
        ) from error


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end; the threads started within, and their processes, never see a Ctrl-C."""
    came: list[int] = []
    handlers: dict[int, Any] = {}
    before: Any = None
    if hasattr(signal, "pthread_sigmask"):  # not on Windows, where the workers hear a Ctrl-C of their console
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by threads and processes
    if threading.current_thread() is threading.main_thread():  # for any other thread of this process may take a signal
        for waiting in (signal.SIGINT, signal.SIGTERM):
            handlers[waiting] = signal.signal(waiting, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if came:
            signal.raise_signal(came[0])


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Processes started within compute silently, with one thread. What Dask sets in the environment goes again, too."""
    before = dict(os.environ)
    os.environ.update(WORKERS)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _distributed() -> Any:
    """Dask's package: imported on use, and without types."""
    return imported("distributed", "dask", "work in several processes")


def _attempt(function: str, value: Any) -> Any:
    try:
        return _call(function, value)
    except Exception as error:
        return error


def _call(function: str, value: Any) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(value)


def _call_there(function: str, value: Any) -> Any:
    """``_call`` in a worker."""
    _take_device(_distributed().get_worker().name)
    return _call(function, value)


@lru_cache(maxsize=1)
def _take_device(worker: Any) -> None:
    """Let this process see one CUDA device, before PyTorch looks: local workers, which Dask numbers, take them in turn.

    The system is asked how many there are, because PyTorch takes a second to load.
    """
    visible, known = os.environ.get("CUDA_VISIBLE_DEVICES"), Path("/proc/driver/nvidia/gpus")
    count = len(list(known.iterdir())) if known.is_dir() else 0
    devices = [str(number) for number in range(count)] if visible is None else visible.split(",")
    if isinstance(worker, int) and len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[worker % len(devices)]


def _killed() -> DataError:
    return DataError("its worker process was killed, perhaps because memory ran out; use fewer workers")

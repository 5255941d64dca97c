"""All 625 SCF calculations in parallel processes. Each finished one is a file, so a stopped run continues."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from edframe.errors import DataError
from edframe_pyscf import geometry, scf
from edframe_pyscf.matrices import pack

Pair = tuple[int, int]


def recompute(folder: Path, *, workers: int, advance: Callable[[int, int], None]) -> Path:
    """Converge every configuration into ``folder/parts`` and gather them in ``folder/li_o_li.safetensors``.

    Finished parts are kept, and skipped when their level of theory and positions are today's.
    ``advance(done, total)`` reports progress. Raises DataError when a configuration does not converge or the folder
    cannot be written; the parts already done stay.
    """
    parts = folder / "parts"
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(parts, error) from error
    pairs = geometry.pairs()
    todo = [pair for pair in pairs if not _finished(pair, parts)]
    pool = _pool(workers)
    try:
        # The workers start here. A Ctrl-C waits until each of them can end without a traceback (``_start_worker``).
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = [pool.submit(_solve_part, pair, parts) for pair in todo]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            advance(len(pairs) - len(todo) + done, len(pairs))
    except BrokenProcessPool as error:
        raise DataError(
            f"a worker process was killed, perhaps for want of memory; what is done is kept in {parts}: "
            "repeat the command with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    target = folder / "li_o_li.safetensors"
    _gather(parts, target)
    return target


def _pool(workers: int) -> Executor:
    # Spawned, not forked: PySCF's OpenMP threads do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    """One OpenMP thread each; end at once on Ctrl-C, and with the parent. Parts appear whole or not at all."""
    from pyscf import lib

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    lib.num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _solve_part(pair: Pair, parts: Path) -> None:
    name = geometry.sample_id(*pair)
    lattice = np.eye(3) * geometry.CELL_LENGTH
    cell = scf.build_cell(geometry.SPECIES, geometry.positions(*pair), lattice)
    solution = scf.solve(cell, name)
    metadata = {"inputs": _inputs(pair), "scf": json.dumps(solution.record())}
    _save({"density_matrix": pack(solution.density_matrix)}, _part(pair, parts), metadata)


def _finished(pair: Pair, parts: Path) -> bool:
    """Whether a part is there, whole, and of today's level of theory and positions."""
    try:
        with safe_open(_part(pair, parts), framework="numpy") as part:
            return bool(part.metadata()["inputs"] == _inputs(pair))
    except (OSError, SafetensorError, KeyError, TypeError):
        return False


def _gather(parts: Path, target: Path) -> None:
    matrices, records = [], []
    for pair in geometry.pairs():
        with safe_open(_part(pair, parts), framework="numpy") as part:
            matrices.append(part.get_tensor("density_matrix"))
            records.append(json.loads(part.metadata()["scf"]))
    metadata = {"level": json.dumps(_level()), "scf": json.dumps(records)}
    _save({"density_matrices": np.stack(matrices)}, target, metadata)


def _part(pair: Pair, parts: Path) -> Path:
    return parts / f"{geometry.sample_id(*pair)}.safetensors"


def _inputs(pair: Pair) -> str:
    """What determines a density matrix, as text to compare."""
    return json.dumps({**_level(), "positions": geometry.positions(*pair).round(9).tolist()})


def _level() -> dict[str, Any]:
    """The level of theory, as the header of the gathered file tells it."""
    from pyscf import __version__

    return {
        "functional": scf.FUNCTIONAL,
        "basis": scf.BASIS,
        "pseudopotential": scf.PSEUDOPOTENTIAL,
        "mesh": scf.MESH,
        "cell_length_angstrom": geometry.CELL_LENGTH,
        "pyscf": __version__,
    }


def _save(tensors: dict[str, NDArray[np.float32]], target: Path, metadata: dict[str, str]) -> None:
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata=metadata)
        os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        raise _unwritable(target, error) from error


def _unwritable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be written ({error}); free some space, or set EDFRAME_CACHE to another folder; "
        "what is there is kept"
    )

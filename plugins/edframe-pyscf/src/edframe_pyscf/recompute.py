"""All 625 SCF calculations in parallel processes. Each finished one is a file, so a stopped run continues."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from edframe_pyscf import geometry, scf
from edframe_pyscf.matrices import pack


def recompute(folder: Path, *, workers: int, advance: Callable[[int, int], None]) -> Path:
    """Converge every configuration into ``folder/parts`` and gather them in ``folder/li_o_li.safetensors``.

    Finished parts are kept and skipped. ``advance(done, total)`` reports progress.
    Raises DataError when a configuration does not converge; the parts already done stay.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    pairs = geometry.pairs()
    todo = [pair for pair in pairs if not (parts / f"{geometry.sample_id(*pair)}.safetensors").exists()]
    # Spawned, not forked: PySCF's OpenMP threads do not survive a fork.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread)
    try:
        futures = [pool.submit(_solve_part, pair, parts) for pair in todo]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            advance(len(pairs) - len(todo) + done, len(pairs))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    target = folder / "li_o_li.safetensors"
    _gather(parts, target)
    return target


def _one_thread() -> None:
    from pyscf import lib

    lib.num_threads(1)


def _solve_part(pair: tuple[int, int], parts: Path) -> None:
    name = geometry.sample_id(*pair)
    lattice = np.eye(3) * geometry.CELL_LENGTH
    cell = scf.build_cell(geometry.SPECIES, geometry.positions(*pair), lattice)
    solution = scf.solve(cell, name)
    packed = pack(solution.density_matrix)
    _save({"density_matrix": packed}, parts / f"{name}.safetensors", {"scf": json.dumps(solution.record())})


def _gather(parts: Path, target: Path) -> None:
    matrices, records = [], []
    for pair in geometry.pairs():
        with safe_open(parts / f"{geometry.sample_id(*pair)}.safetensors", framework="numpy") as part:
            matrices.append(part.get_tensor("density_matrix"))
            records.append(json.loads(part.metadata()["scf"]))
    from pyscf import __version__

    level = {
        "functional": scf.FUNCTIONAL,
        "basis": scf.BASIS,
        "pseudopotential": scf.PSEUDOPOTENTIAL,
        "mesh": scf.MESH,
        "cell_length_angstrom": geometry.CELL_LENGTH,
        "pyscf": __version__,
    }
    metadata = {"level": json.dumps(level), "scf": json.dumps(records)}
    _save({"density_matrices": np.stack(matrices)}, target, metadata)


def _save(tensors: dict[str, NDArray[np.float32]], target: Path, metadata: dict[str, str]) -> None:
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, target)

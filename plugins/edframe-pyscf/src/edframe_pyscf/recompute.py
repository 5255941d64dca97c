"""All 625 SCF calculations, as independent jobs. Each finished one is a file, so a stopped run continues."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edframe.errors import DataError
from edframe.files import whole
from edframe.jobs import run_jobs
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf import scf
from edframe_pyscf.levels import FUNCTIONAL, PSEUDOPOTENTIAL
from edframe_pyscf.matrices import pack

Pair = tuple[int, int]

SHOWN = 20
"""Failures that an error lists."""


def recompute(folder: Path, *, workers: int, scheduler: str | None = None, advance: Callable[[int, int], None]) -> Path:
    """Converge every configuration into ``folder/parts`` and gather them in ``folder/li_o_li.safetensors``.

    Finished parts are not repeated when their level of theory and positions are today's. ``advance(done, total)``
    reports progress. Raises DataError when the folder cannot be written, and at the end, when all others are done, for
    configurations that failed or did not converge; the parts already done stay.
    """
    parts = folder / "parts"
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(parts, error) from error
    pairs = geometry.pairs()
    todo = [pair for pair in pairs if not _finished(pair, parts)]
    failures = []
    results = run_jobs("edframe_pyscf.recompute:solve", todo, workers=workers, scheduler=scheduler)
    with contextlib.closing(results):
        for done, (index, result) in enumerate(results, start=1 + len(pairs) - len(todo)):
            pair = todo[index]
            if isinstance(result, Exception):
                name = geometry.sample_id(*pair)
                failures.append(f"{name}: {str(result).removeprefix(f'{name}: ')}")
            elif result[1]["inputs"] != _inputs(pair):
                failures.append(f"{geometry.sample_id(*pair)}: the worker has another PySCF, or another edframe-pyscf")
            else:
                _save({"density_matrix": result[0]}, _part(pair, parts), result[1])
            advance(done, len(pairs))
    if failures:
        listed = "\n".join(sorted(failures)[:SHOWN])
        more = f"\n… and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
        raise DataError(
            f"{len(failures)} of {len(pairs)} configurations failed; the others are saved in {parts}, and the same "
            f"command tries these again:\n{listed}{more}"
        )
    target = folder / "li_o_li.safetensors"
    _gather(parts, target)
    return target


def solve(pair: Pair) -> tuple[NDArray[np.float32], dict[str, str]]:
    """The packed density matrix ``[pair]`` of one configuration, and what its part records. Called in any process."""
    lattice = np.eye(3) * geometry.CELL_LENGTH
    cell = scf.build_cell(geometry.SPECIES, geometry.positions(*pair), lattice, geometry.LEVEL)
    solution = scf.solve(cell, geometry.sample_id(*pair))
    return pack(solution.density_matrix), {"inputs": _inputs(pair), "scf": json.dumps(solution.record())}


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
    """The level of theory, as it is in the header of the gathered file."""
    from pyscf import __version__

    return {
        "functional": FUNCTIONAL,
        "basis": geometry.LEVEL.basis,
        "pseudopotential": PSEUDOPOTENTIAL,
        "mesh": geometry.LEVEL.mesh([geometry.CELL_LENGTH])[0],
        "cell_length_angstrom": geometry.CELL_LENGTH,
        "pyscf": __version__,
    }


def _save(tensors: dict[str, NDArray[np.float32]], target: Path, metadata: dict[str, str]) -> None:
    try:
        with whole(target) as file:
            file.write(save(tensors, metadata=metadata))
    except (OSError, SafetensorError) as error:
        raise _unwritable(target, error) from error


def _unwritable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be written ({error}); free some space, or set EDFRAME_CACHE to another folder; "
        "what is there stays"
    )

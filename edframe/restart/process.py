"""A code run in a process of its own, with the processor's time that it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edframe.errors import DataError

ONE_PROCESS = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
"""Open MPI refuses to start for root, as in a container, even without mpirun."""


def installed(program: str) -> bool:
    """Whether a program can be found."""
    return shutil.which(program) is not None


def run(command: Sequence[str], folder: Path, log: Path) -> tuple[int, float]:
    """Exit status, and seconds of the processor, user and system, of a command that writes its output to ``log``.

    One thread, unless OMP_NUM_THREADS says otherwise. Raises DataError where the program is not installed.
    """
    if not installed(command[0]):
        raise DataError(f"{command[0]} is not installed, or not in PATH; leave --run out to write the files alone")
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **ONE_PROCESS}
    before = os.times()
    with log.open("wb") as file:
        status = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
        ).returncode
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return status, spent

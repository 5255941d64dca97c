"""What a DFT code must be able to do for ``edframe restart``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edframe.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from edframe.data.level import Level
    from edframe.io.volume import Volume


@dataclass(frozen=True)
class Needs:
    """What a calculation expects of a density.

    shape: numbers of points of the code's own grid; None: any. spins: 1 (total) or 2 (total and magnetisation).
    electrons: that the density must hold; None: not known. charge: of the cell, that they
    include. level: functional and pseudopotentials. slack: fraction of the electrons that the code's own density lacks
    or has too many on its grid, so that it is not scaled.
    """

    structure: Structure
    shape: tuple[int, int, int] | None
    spins: int
    electrons: float | None
    charge: float
    level: Level
    slack: float = 0.0


@dataclass(frozen=True)
class Written:
    """What ``write`` left on disk.

    files: the density and what belongs to it. input: the changed input. changes: variable → value, as the code spells
    them, that make it read the density. folder: where the code is to be run. notes: sentences on what was done to the
    density, or is doubtful.
    """

    files: tuple[Path, ...]
    input: Path
    changes: Mapping[str, str]
    folder: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a calculation did. iterations: of the SCF. seconds: of the processor, user and system. energies: total
    energy after each iteration, eV."""

    iterations: int
    seconds: float
    energies: tuple[float, ...]


@dataclass(frozen=True)
class Converged:
    """The density of a calculation from the code's own start, in e/Å³, and what the calculation was."""

    density: Volume
    needs: Needs
    outcome: Outcome


def require_new(files: Iterable[Path], force: bool) -> None:
    """Raises DataError for files that are there, unless they may be written over."""
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise DataError(f"{', '.join(there)} exists already; write into another folder by --out, or use --force")


class Code(Protocol):
    """A DFT code. Each method raises DataError, with file and reason, for an input that it cannot treat."""

    name: str
    """In the command line, and in ``CODES``."""

    title: str
    """In sentences."""

    def needs(self, input: Path, out: Path | None, *, may_run: bool) -> Needs:
        """What the calculation of an input file expects of a density; arguments as of ``write``."""

    def write(self, density: Volume, input: Path, out: Path | None, *, may_run: bool, force: bool) -> Written:
        """Write a density where the calculation finds it, and the changed input.

        density: in e/Å³ on the grid of ``needs``, with its electrons. out: folder for everything; None: where the input
        says. may_run: whether the code may be run for what it alone can make. force: write over what is there.
        """

    def run(self, written: Written) -> Outcome:
        """Run the changed input. Raises DataError where the code fails, does not converge or ignored the density."""

    def converged(self, input: Path, folder: Path) -> Converged:
        """The density that the code finds from its own start, computed in ``folder``. Raises DataError as ``run``."""

    def check(self, log: str) -> str | None:
        """Why a calculation with this log did not start from the density, as a sentence; None where it did."""

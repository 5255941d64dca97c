"""Volumetric files: time and memory of reading and writing, beside pymatgen and ASE, and what comes back of real files.

    OMP_NUM_THREADS=1 python benchmarks/io.py [--points 120] [--out FILE]
    python benchmarks/io.py --round-trip [--data FOLDER]

Fields are random: a spin-polarised density for CHGCAR, one density for cube and XSF. All libraries take the same files
and fields in turn; the best of --repeats counts, of one for what takes longer than five seconds. Files stay in the
system's memory. Memory is the most that Python and NumPy held, fields included, over the size of the fields. The
difference is the largest between what was read and the true fields, over the largest value. What was written is read
with edframe for it, but ASE's XSF with ASE.

--round-trip reads each file under --data, writes what was read, through a sample where it is a density, and reads that.
Its table has the largest difference of the fields, and that of the fields times the volume of the cell, as they stand
in a CHGCAR, where the cell has 6 decimals.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import os
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io.cube
import ase.io.xsf
import numpy as np
from ase import Atoms
from measuring import Results, digest, duration, print_table, processor, timed
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.common import VolumetricData
from pymatgen.io.vasp.outputs import Chgcar

import edframe.io
from edframe.data.conversion import sample_of, volume_of
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.io.units import BOHR
from edframe.io.volume import Volume

CELL = Lattice(Lattice.from_parameters(9.0, 10.0, 11.0, 80, 95, 100).matrix.round(6))
LONG = 5.0
"""Seconds after which a call is not repeated."""

Fields = list[np.ndarray[Any, Any]]


@dataclass
class Case:
    """One thing to do, by several libraries. Each call reads (and returns fields in e/Å³) or writes."""

    format: str
    action: str
    fields: Fields
    calls: dict[str, Callable[[], Fields | None]]
    written: Path | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=120, help="grid points along each axis")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--round-trip", action="store_true", help="the table of real files instead")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.round_trip:
        round_trip(arguments.data)
        return
    results = Results(arguments.out, setup(), fresh=True)
    results.begin(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')} python benchmarks/io.py")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), arguments.points):
            for row in measured(case, arguments.repeats):
                results.add(points=arguments.points, **row)
    print_table(
        ("format", "action", "library", "time", "over edframe's", "memory / fields", "difference"),
        [
            (row["format"], row["action"], row["library"], duration(row["seconds"]), f"{row['ratio']:.2f} ×",
             f"{row['memory']:.2f}", f"{row['difference']:.1e}")
            for row in results.rows
        ],
    )  # fmt: skip


def setup() -> dict[str, Any]:
    """What a number depends on."""
    sources = sorted(Path(edframe.io.__file__).parent.glob("*.py"))
    return {
        **{name: importlib.metadata.version(name) for name in ("numpy", "pymatgen", "ase")},
        "edframe.io source": digest(sources),
        "processor": processor(),
        "load": os.getloadavg()[0],
    }


def cases(folder: Path, n: int) -> Iterator[Case]:
    """All that is measured; each library reads a file of the format that edframe wrote."""
    rng = np.random.default_rng(0)
    structure = Structure(CELL, ["Fe", "O", "O"], rng.random((3, 3)))
    atoms = AseAtomsAdaptor.get_atoms(structure)
    grid = Grid.of(CELL.matrix, n)
    total, spin = rng.random((n, n, n)) * 3, rng.standard_normal((n, n, n))
    volume, one = grid.volume, Volume(structure, grid, {"total": total})
    both = Volume(structure, grid, {"total": total, "magnetisation": spin})

    chgcar = folder / "CHGCAR"
    edframe.io.write(chgcar, both)
    packed = folder / "CHGCAR.gz"
    packed.write_bytes(gzip.compress(chgcar.read_bytes(), 6))
    for path in (chgcar, packed):
        yield Case(
            path.name,
            "read",
            [total, spin],
            {
                "edframe": lambda path=path: list(edframe.io.read(path).fields.values()),
                "pymatgen": lambda path=path: [values / volume for values in Chgcar.from_file(str(path)).data.values()],
            },
        )
    times_volume = Chgcar(structure, {"total": total * volume, "diff": spin * volume})
    out = folder / "CHGCAR.out"
    yield Case(
        "CHGCAR",
        "write",
        [total, spin],
        {"edframe": lambda: edframe.io.write(out, both), "pymatgen": lambda: times_volume.write_file(out)},
        out,
    )

    cube = folder / "density.cube"
    edframe.io.write(cube, one)
    unit = BOHR**-3
    yield Case(
        "cube",
        "read",
        [total],
        {
            "edframe": lambda: list(edframe.io.read(cube).fields.values()),
            "pymatgen": lambda: [VolumetricData.from_cube(str(cube)).data["total"] * unit],
            "ASE": lambda: [ase.io.cube.read_cube_data(str(cube))[0] * unit],
        },
    )
    out = folder / "out.cube"
    in_bohr = total / unit
    other = VolumetricData(structure, {"total": in_bohr})

    def ase_cube() -> None:
        with out.open("w") as file:
            ase.io.cube.write_cube(file, atoms, in_bohr)

    yield Case(
        "cube",
        "write",
        [total],
        {
            "edframe": lambda: edframe.io.write(out, one),
            "pymatgen": lambda: other.to_cube(str(out)),
            "ASE": ase_cube,
        },
        out,
    )

    xsf = folder / "density.xsf"
    edframe.io.write(xsf, one)
    yield Case(
        "xsf",
        "read",
        [total],
        {
            "edframe": lambda: list(edframe.io.read(xsf).fields.values()),
            "ASE": lambda: [ase_xsf_values(xsf)[:-1, :-1, :-1]],  # it keeps the planes that repeat the first
        },
    )
    out = folder / "out.xsf"

    def ase_xsf() -> None:
        with out.open("w") as file:
            ase.io.xsf.write_xsf(file, [periodic(atoms)], total)

    yield Case("xsf", "write", [total], {"edframe": lambda: edframe.io.write(out, one), "ASE": ase_xsf}, out)


def periodic(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.pbc = True
    return copy


def ase_xsf_values(path: Path) -> Any:
    with path.open() as file:
        return ase.io.xsf.read_xsf(file, read_data=True)[0]


def measured(case: Case, repeats: int) -> Iterator[dict[str, Any]]:
    """A row for each library, the libraries in turn."""
    seconds: dict[str, list[float]] = {library: [] for library in case.calls}
    for _ in range(repeats):
        for library, call in case.calls.items():
            if not seconds[library] or min(seconds[library]) < LONG:
                seconds[library].append(timed(call)[0])
    size = sum(values.nbytes for values in case.fields)
    for library, call in case.calls.items():
        if case.written:
            case.written.unlink(missing_ok=True)
        tracemalloc.start()
        fields = call()
        peak = tracemalloc.get_traced_memory()[1] + (size if case.written else 0)
        tracemalloc.stop()
        if case.written and library == "ASE" and case.format == "xsf":
            fields = [ase_xsf_values(case.written)]  # its grid ends one point before the cell's edge
        elif case.written:
            fields = list(edframe.io.read(case.written).fields.values())
        pairs = zip(fields or [], case.fields, strict=True)
        yield {
            "format": case.format,
            "action": case.action,
            "library": library,
            "seconds": min(seconds[library]),
            "ratio": min(seconds[library]) / min(seconds["edframe"]),
            "memory": peak / size,
            "difference": max(difference(a, b) for a, b in pairs),
        }


def difference(a: Any, b: Any) -> float:
    """The largest, over the largest value; infinite between shapes."""
    return float(abs(a - b).max() / abs(b).max()) if a.shape == b.shape else np.inf


def round_trip(data: Path) -> None:
    """Print what comes back of each file."""
    paths = sorted(path for kind in ("vasp", "cube", "xsf") for path in (data / kind).glob("*"))
    if not paths:
        raise SystemExit(f"there are no files in {data}/vasp or {data}/cube: name their folder with --data")
    rows = []
    for path in paths:
        before = edframe.io.read(path)
        through, given = "sample", before
        try:
            given = volume_of(sample_of(before, path.name))
        except DataError:
            through = "volume"
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            edframe.io.write(copy, given)
            after = edframe.io.read(copy)
        times = after.grid.volume / before.grid.volume if before.quantity == "density" else 1.0
        pairs = [(after.fields[name], values) for name, values in before.fields.items()]
        largest = max(difference(new, old) for new, old in pairs)
        in_file = max(difference(new * times, old) for new, old in pairs)
        same = after.augmentation == before.augmentation
        rows.append(
            (path.name, "×".join(map(str, before.grid.shape)), " ".join(before.fields), through,
             sum(values.size for values in before.fields.values()), f"{largest:.1e}", f"{in_file:.1e}",
             ("equal" if same else "DIFFERENT") if before.augmentation else "none")
        )  # fmt: skip
    print_table(("file", "shape", "fields", "through a", "values", "difference", "times volume", "augmentation"), rows)


if __name__ == "__main__":
    main()

"""The systems and inputs of the campaign of restarts: restarts.py runs them.

Quantum ESPRESSO and ABINIT of Debian 12, with pseudopotentials that Debian ships; PySCF with its own. A unit cell or a
box, small cutoffs: one SCF takes less than 15 s.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

QE = "/usr/share/espresso/pseudo"
HSCV = "/usr/share/doc/quantum-espresso/examples/CPV/EXX-wf-example"
PSP = "/usr/share/abinit/psp"
MADE = "../pseudo"
"""Where ``pseudopotentials`` puts those that pw.x cannot read as they are shipped; from an input's folder."""

Symbols = tuple[str, ...]
Writer = Callable[[Path, Symbols, np.ndarray], None]


@dataclass(frozen=True)
class System:
    """Symbols and positions ``[atom, 3]`` in Å in a cell of ``vectors`` (rows, Å)."""

    symbols: Symbols
    positions: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True)
class Case:
    """One system in one code.

    write: makes the input file of a geometry. train, test: numbers of geometries. models: of ``restarts.MODELS``.
    losses: fit also by whole grids, with each loss. noise: NMAE in % of densities of known error. mended: also start
    with the waves below 1/bohr of free atoms. options: of the models, as ``--set`` takes them. bands: k-points,
    also at fixed density. taught: case whose models are taken.
    """

    code: str
    system: System
    write: Writer
    ending: str
    train: int = 10
    test: int = 10
    models: tuple[str, ...] = ("krr",)
    losses: bool = False
    noise: tuple[float, ...] = ()
    mended: bool = False
    options: tuple[str, ...] = ()
    bands: str = ""
    taught: str = ""


def box(sides: float | tuple[float, float, float]) -> np.ndarray:
    return np.diag(np.broadcast_to(np.array(sides, float), 3))


def cubic(side: float, sites: list[tuple[str, float, float, float]]) -> System:
    """A face-centred cubic cell of sites of a primitive one, in fractions of ``side``."""
    shifts = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    symbols = tuple(name for name, *_ in sites for _ in shifts)
    return System(symbols, side * np.concatenate([np.array(place) + shifts for _, *place in sites]), box(side))


BOHR = 0.529177210903
WATER = System(("O", "H", "H"), np.array([[3.70, 3.70, 3.70], [4.45, 4.29, 3.70], [2.95, 4.29, 3.70]]), box(14 * BOHR))
WATER_72 = System(WATER.symbols, WATER.positions, box(7.2))
LITHIA = System(("O", "Li", "Li"), np.array([[3.6, 3.6, 3.6], [1.98, 3.6, 3.6], [5.22, 3.6, 3.6]]), box(7.2))
ETHANOL = System(
    ("C", "C", "O", "H", "H", "H", "H", "H", "H"),
    np.add(
        [[1.17, -0.40, 0.0], [0.0, 0.56, 0.0], [-1.20, -0.22, 0.0], [-1.95, 0.38, 0.0], [2.12, 0.15, 0.0],
         [1.14, -1.04, 0.89], [1.14, -1.04, -0.89], [0.04, 1.20, 0.89], [0.04, 1.20, -0.89]], [4.2, 3.4, 3.5],
    ),
    box((8.5, 7.0, 7.0)),
)  # fmt: skip
SALT = cubic(5.64, [("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)])
SILICON = cubic(5.43, [("Si", 0, 0, 0), ("Si", 0.25, 0.25, 0.25)])
SIDE, LAYER = 4.05 / 2**0.5, 4.05 / 2
SLAB = System(
    ("Al",) * 8,
    np.array([[(k % 2) * SIDE / 2, (k % 2) * SIDE / 2, 4 + k * LAYER] for k in range(8)]),
    box((SIDE, SIDE, 26)),
)


def _rows(symbols: Symbols, positions: np.ndarray) -> str:
    return "\n".join(f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(symbols, positions.tolist(), strict=True))


def pw(
    system: System,
    settings: str,
    pseudopotentials: dict[str, str],
    folder: str = QE,
    *,
    electrons: str = "",
    points: str = "gamma",
) -> Writer:
    """Inputs of pw.x."""

    def write(path: Path, symbols: Symbols, positions: np.ndarray) -> None:
        kinds = "\n".join(f"{symbol} 1.0 {name}" for symbol, name in pseudopotentials.items())
        cell = "\n".join(" ".join(f"{x:.8f}" for x in row) for row in system.vectors.tolist())
        path.write_text(
            f"&control\n prefix='x', outdir='./tmp-{path.stem}', pseudo_dir='{folder}', disk_io='low' /\n"
            f"&system\n ibrav=0, {settings}, nat={len(symbols)}, ntyp={len(pseudopotentials)} /\n"
            f"&electrons\n conv_thr=1e-8{electrons} /\n"
            f"ATOMIC_SPECIES\n{kinds}\nATOMIC_POSITIONS angstrom\n{_rows(symbols, positions)}\n"
            f"K_POINTS {points}\nCELL_PARAMETERS angstrom\n{cell}\n"
        )

    return write


def abinit(system: System, settings: str, pseudopotentials: dict[str, tuple[int, str]]) -> Writer:
    """Inputs of ABINIT. pseudopotentials: symbol → nuclear charge and file."""
    kinds = list(pseudopotentials)

    def write(path: Path, symbols: Symbols, positions: np.ndarray) -> None:
        cell = " ".join(f"{length / BOHR:.8f}" for length in np.diag(system.vectors))
        charges = " ".join(str(number) for number, _ in pseudopotentials.values())
        files = ", ".join(name for _, name in pseudopotentials.values())
        atoms = "\n".join(f" {x:.6f} {y:.6f} {z:.6f}" for x, y, z in positions.tolist())
        path.write_text(
            f"acell {cell}\nnatom {len(symbols)} ntypat {len(kinds)} znucl {charges}\n"
            f"typat {' '.join(str(kinds.index(each) + 1) for each in symbols)}\nxcart\n{atoms} angstrom\n"
            f'{settings} nstep 90 toldfe 1e-8 prtwf 0\npp_dirpath "{PSP}" pseudos "{files}"\n'
        )

    return write


PYSCF = """from pyscf.pbc import dft
from edframe_pyscf.levels import PBE_DZVP
from edframe_pyscf.scf import build_cell

cell = build_cell({symbols}, {positions}, {vectors}, PBE_DZVP)
mf = dft.RKS(cell).multigrid_numint()
mf.xc, mf.conv_tol, mf.conv_tol_grad, mf.verbose = "pbe", 1e-9, 1e-5, 4
"""


def pyscf(system: System) -> Writer:
    """Scripts that make a periodic mean field: PBE, GTH pseudopotentials, gth-dzvp, multigrid integration."""

    def write(path: Path, symbols: Symbols, positions: np.ndarray) -> None:
        arrays = [f"numpy.array({values.round(6).tolist()})" for values in (positions, system.vectors)]
        text = PYSCF.format(symbols=list(symbols), positions=arrays[0], vectors=arrays[1])
        path.write_text("import numpy\n" + text)

    return write


GPAW = """import numpy
from ase import Atoms
from gpaw import GPAW, PW

atoms = Atoms({symbols}, {positions}, cell={vectors}, pbc=True)
atoms.calc = GPAW(mode=PW(300), xc="PBE", txt=None)
"""


def gpaw(system: System) -> Writer:
    """Scripts that make atoms with a calculator: PBE, plane waves up to 300 eV."""

    def write(path: Path, symbols: Symbols, positions: np.ndarray) -> None:
        arrays = [f"numpy.array({values.round(6).tolist()})" for values in (positions, system.vectors)]
        path.write_text(GPAW.format(symbols=list(symbols), positions=arrays[0], vectors=arrays[1]))

    return write


GAMMA = "kptopt 0 nkpt 1"
US_WATER = {"O": "O.pbe-kjpaw.UPF", "H": "H.pbe-kjpaw.UPF"}
SMEARED = "ecutwfc=15, occupations='smearing', smearing='mv', degauss=0.02"
SLAB_PW = {"Al": "Al.pz-vbc.UPF"}
FEW = ("featurizer.triples=300", "featurizer.products=100", "featurizer.loss_steps=60")
"""Fewer terms of ``local`` than by default, so that its fit by whole grids takes two minutes."""

CASES = {
    "QE: H2O, norm-conserving": Case(
        "qe", WATER, pw(WATER, "ecutwfc=30", {"O": "O.UPF", "H": "H.UPF"}, MADE), ".in", train=20,
        models=("krr", "local"), losses=True, noise=(0.5, 1.0, 3.0), options=(*FEW, "featurizer.loss_steps=30"),
    ),
    "QE: Al slab": Case(
        "qe", SLAB, pw(SLAB, SMEARED, SLAB_PW, points="automatic\n4 4 1 0 0 0"), ".in",
        models=("krr", "local"), losses=True, noise=(1.0, 3.0), mended=True, options=FEW,
    ),
    "QE: Al slab, local-TF": Case(
        "qe", SLAB, pw(SLAB, SMEARED, SLAB_PW, electrons=", mixing_mode='local-TF'", points="automatic\n4 4 1 0 0 0"),
        ".in", models=("krr", "l1"), noise=(3.0,), mended=True, test=5, options=FEW, taught="QE: Al slab",
    ),
    "QE: Li2O, ultrasoft": Case(
        "qe", LITHIA,
        pw(LITHIA, "ecutwfc=30, ecutrho=240",
           {"O": "O.pbesol-n-rrkjus_psl.0.1.UPF", "Li": "Li.pbesol-s-rrkjus_psl.0.2.1.UPF"}),
        ".in", models=("krr", "local"), noise=(1.0,), options=FEW,
    ),
    "QE: Si8": Case(
        "qe", SILICON, pw(SILICON, "ecutwfc=18", {"Si": "Si.pz-vbc.UPF"}, points="automatic\n2 2 2 0 0 0"), ".in",
        models=("krr", "local"), noise=(1.0,), options=FEW, bands="crystal\n3\n0 0 0 1\n0.25 0 0 1\n0.5 0 0 1",
    ),
    "QE: NaCl": Case(
        "qe", SALT, pw(SALT, "ecutwfc=24", {"Na": "Na.gth", "Cl": "Cl.gth"}, MADE, points="automatic\n2 2 2 0 0 0"),
        ".in", models=("krr", "local"), noise=(1.0,), options=FEW,
    ),
    "PySCF: Li2O": Case("pyscf", LITHIA, pyscf(LITHIA), ".py", train=0, test=5, models=("krr",), noise=(1.0,)),
    "PySCF: H2O": Case("pyscf", WATER_72, pyscf(WATER_72), ".py", test=5, models=("krr",), noise=(1.0,)),
    "ABINIT: H2O": Case(
        "abinit", WATER,
        abinit(WATER, f"ecut 20 {GAMMA} nband 6", {"O": (8, "Pseudodojo_nc_sr_04_pbe_standard_psp8/O.psp8"),
                                                  "H": (1, "Pseudodojo_nc_sr_04_pbe_standard_psp8/H.psp8")}),
        ".abi", models=("krr",), noise=(0.5, 1.0), test=5,
    ),
    "QE: ethanol, ultrasoft": Case(
        "qe", ETHANOL,
        pw(ETHANOL, "ecutwfc=25, ecutrho=200", {"C": "C.pz-rrkjus.UPF", "O": "O.pz-rrkjus.UPF", "H": "H.pz-vbc.UPF"}),
        ".in", test=5, models=("krr",), noise=(1.0,),
    ),
    "QE: H2O, PAW": Case(
        "qe", WATER, pw(WATER, "ecutwfc=30, ecutrho=200", US_WATER), ".in", test=5, models=("krr",), noise=(1.0,)
    ),
    "ABINIT: Si8": Case(
        "abinit", SILICON,
        abinit(SILICON, "ecut 8 ngkpt 2 2 2 nshiftk 1 shiftk 0 0 0 nband 20", {"Si": (14, "14si.pspnc")}),
        ".abi", models=("krr", "local"), options=FEW, test=5,
    ),
    "ABINIT: NaCl": Case(
        "abinit", SALT, abinit(SALT, f"ecut 14 {GAMMA} nband 18", {"Na": (11, "11na.1.hgh"), "Cl": (17, "17cl.7.hgh")}),
        ".abi", models=("krr", "local"), options=FEW, test=5,
    ),
    "ABINIT: Li2O": Case(
        "abinit", LITHIA, abinit(LITHIA, f"ecut 20 {GAMMA} nband 6", {"O": (8, "8o.pspnc"), "Li": (3, "3li.pspnc")}),
        ".abi", models=("krr",), test=5,
    ),
    "ABINIT: Al slab": Case(
        "abinit", SLAB,
        abinit(SLAB, "ecut 7.5 ngkpt 4 4 1 nshiftk 1 shiftk 0 0 0 nband 18 occopt 4 tsmear 0.01",
               {"Al": (13, "13al.pspnc")}),
        ".abi", models=("krr",), train=6, test=3,
    ),
    "ABINIT: ethanol": Case(
        "abinit", ETHANOL,
        abinit(ETHANOL, f"ecut 16 {GAMMA} nband 12",
               {"C": (6, "6c.pspnc"), "O": (8, "8o.pspnc"), "H": (1, "1h.pspnc")}),
        ".abi", models=("krr",), train=6, test=3,
    ),
    "GPAW: H2O": Case("gpaw", WATER_72, gpaw(WATER_72), ".py", test=5, noise=(1.0,)),
    "GPAW: Li2O": Case("gpaw", LITHIA, gpaw(LITHIA), ".py", train=0, test=5, models=(), noise=(1.0,)),
    "PySCF: Si8": Case("pyscf", SILICON, pyscf(SILICON), ".py", train=5, test=3),
    "PySCF: ethanol": Case("pyscf", ETHANOL, pyscf(ETHANOL), ".py", train=5, test=3),
}  # fmt: skip
"""In the order in which they are measured: the cheapest and most important first."""


def pseudopotentials(folder: Path) -> None:
    """Those that are shipped packed, or in ABINIT's form alone: HGH of Na and Cl, which pw.x reads as GTH."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol in ("O", "H"):
        packed = Path(f"{HSCV}/{symbol}_HSCV_PBE-1.0.UPF.gz").read_bytes()
        (folder / f"{symbol}.UPF").write_bytes(gzip.decompress(packed))
    for symbol, name in (("Na", "11na.1.hgh"), ("Cl", "17cl.7.hgh")):
        (folder / f"{symbol}.gth").write_text(gth(Path(f"{PSP}/{name}").read_text()))


def gth(text: str) -> str:
    """ABINIT's HGH (pspcod 3), s and p of at most two projectors, in the form of its pspcod 10, without spin-orbit.

    The element between both projectors follows from the second's: h12 = −½√(3/5) h22 for s, −½√(5/7) h22 for p
    (Hartwigsen, Goedecker, Hutter, Phys. Rev. B 58, 3641 (1998), eqs. 20 and 23).
    """
    lines = [line.split() for line in text.splitlines()]
    numbers = [[float(word) for word in line if word[:1] in "0123456789-."] for line in lines[3:6]]
    local, projectors = numbers[0], numbers[1:3]
    constants = [value for value in local[1:5] if value]
    made = [lines[0], lines[1][:3], ["10", lines[2][1], "1", "2", "2001", "0"]]
    made.append([str(local[0]), str(len(constants)), *map(str, constants)])
    made.append(["2"])
    for degree, (radius, first, second, *_) in enumerate(projectors):
        if second:
            between = -0.5 * math.sqrt(5 / 7 if degree else 3 / 5) * second
            made += [[str(radius), "2", str(first), f"{between:.8f}"], [str(second)]]
        else:
            made.append([str(radius), "1", str(first)])
        if degree:
            made += [["0.0", "0.0"], ["0.0"]] if second else [["0.0"]]
    return "\n".join(" ".join(line) for line in made) + "\n"

"""What DFT calculations save that start from a prediction: iterations and processor time, paired over geometries.

python docs/results/restarts.py FOLDER [CASE ...] [--starts default,own,krr] [--again]

Needs Quantum ESPRESSO and ABINIT of Debian 12 (quantum-espresso, quantum-espresso-data, abinit, abinit-data), PySCF and
GPAW. Inputs, labels and runs go to FOLDER, results to restarts.jsonl beside this script. What is there is not computed
again, so that a stopped command goes on: three geometries of each case, then five, then all. The page is written by
restart_page.py.

Each case (restart_cases.py) has perturbed geometries of one system: some to train on, others to start. A start is

    default         the code's own
    own             the converged density itself, written by edframe
    1               the same times 1 + noise of waves longer than about 1 Å, with an NMAE of 1%
    krr, local      the prediction of a model that was fitted in closed form, on the same level
    l1, sinkhorn, l1 + coulomb      local, fitted further by whole grids with this loss: same data, steps and seed
    X, equal        the density of X with its error scaled to the NMAE that l1 has for this geometry
    X, mended       the density of X with the waves below 1/bohr of free atoms
    X, damped       the density of X, its difference from free atoms times G²/(G² + 1/bohr²)

With --again the seconds before of the rows of ``--starts`` are measured once more, after a prediction has become
faster: the code is not run, because the density is the same, and this is checked by its NMAE.

Each row has iterations, seconds of the code, and seconds before it (prediction, interpolation, files, and what the code
runs for its files), all of the processor, user and system, with one thread.

More than 300 lines: each start is a few lines that share the case's folder and its converged density.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pages import record, records
from restart_cases import CASES, Case, pseudopotentials

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.files import whole
from edframe.grid import Grid
from edframe.io import Volume, read, write
from edframe.io.units import BOHR
from edframe.restart import code_of
from edframe.restart.bands import bands
from edframe.restart.code import Converged, Outcome, Written
from edframe.restart.espresso_input import PwInput
from edframe.restart.fock import sampled
from edframe.restart.process import run as run_code
from edframe.restart.start import Start, fitted, from_run

RESULTS = Path(__file__).with_suffix(".jsonl")
SIGMA = 0.05
"""Å, of each coordinate."""
ROUNDS = (3, 5, 10)
SAME = 2e-3
"""%, of the NMAE: a faster prediction may differ by rounding."""
LOCAL = ("--featurizer", "local", "--model", "baseline")
COULOMB = 30
"""Weight beside l1, e/eV: both then count about the same."""
MODELS: dict[str, tuple[str, ...]] = {
    "krr": ("--featurizer", "atoms", "--model", "krr"),
    "local": LOCAL,
    "l1": (*LOCAL, "--set", "featurizer.loss=[l1]"),
    "sinkhorn": (*LOCAL, "--set", "featurizer.loss=[sinkhorn]"),
    "l1 + coulomb": (
        *LOCAL, "--set", "featurizer.loss=[mix]",
        "--set", f"featurizer.loss_options={{mix: {{weights: {{l1: 1.0, coulomb: {COULOMB}.0}}}}}}",
    ),
}  # fmt: skip
LOSSES = ("l1", "sinkhorn", "l1 + coulomb")
SCRIPT = """import runpy, numpy
mf = runpy.run_path({input!r})["mf"]
mf.kernel()
numpy.save({out!r}, mf._numint.get_rho(mf.cell, mf.make_rdm1(), None).reshape(mf.cell.mesh))
"""


def main(folder: Path, names: list[str], starts: list[str]) -> None:
    """starts: the only ones to measure; empty: all."""
    pseudopotentials(folder / "pseudo")
    for many in ROUNDS:
        for name in names or list(CASES):
            try:
                measure(name, CASES[name], folder_of(folder, name), many, starts)
            except DataError as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)


def measure(name: str, case: Case, folder: Path, many: int, starts: list[str]) -> None:
    """The first ``many`` geometries of a case."""
    folder.mkdir(exist_ok=True)
    for part, count, first in (("train", case.train, 0), ("test", case.test, 20)):
        for seed in range(first, first + count):
            path = folder / f"{part}-{seed:02d}{case.ending}"
            moves = np.random.default_rng(seed).normal(0, SIGMA, case.system.positions.shape)
            if not path.exists():
                case.write(path, case.system.symbols, case.system.positions + moves)
    for seed in range(20, 20 + min(many, case.test)):
        one_geometry(name, case, folder / f"test-{seed:02d}{case.ending}", starts)


def folder_of(folder: Path, name: str) -> Path:
    return folder / "".join(c if c.isalnum() else "-" for c in name)


def rows_of(name: str, geometry: str) -> list[dict[str, Any]]:
    return [row for row in records(RESULTS) if (row["case"], row["geometry"]) == (name, geometry)]


def one_geometry(name: str, case: Case, path: Path, starts: list[str]) -> None:
    rows = rows_of(name, path.stem)
    losses = LOSSES if case.losses else ()
    models = [*case.models, *losses]
    noises = [f"{level:g}" for level in case.noise]
    mended = [*noises, "l1" if "l1" in models else models[0]] if case.mended else []
    wanted = ["default", "own", *noises, *models, *(f"{each}, equal" for each in losses[1:])]
    wanted += [f"{each}, {way}" for each in mended for way in ("mended", "damped")]
    fixed = [f"bands, {each}" for each in ("own", *models) if case.bands]
    if starts:
        wanted, fixed = ([each for each in these if each in starts] for these in (wanted, fixed))
    if {*wanted, *fixed} <= {row["start"] for row in rows}:
        return
    work = path.with_suffix("")
    work.mkdir(exist_ok=True)

    def put_down(start: str, **facts: Any) -> None:
        row = {"case": name, "geometry": path.stem, "start": start, **facts}
        record(RESULTS, row)
        print(json.dumps(row), flush=True)

    code = code_of(case.code)
    exact = converged(code, path, work)
    done = {row["start"] for row in rows}
    if "default" not in done:
        put_down("default", iterations=exact.outcome.iterations, seconds=round(exact.outcome.seconds, 3))
    made: dict[str, tuple[Start, float]] = {"own": (Start(exact.density, Level()), 0.0)}

    def start_of(name: str) -> tuple[Start, float]:
        """A density, and the seconds that its prediction took."""
        if name not in made:
            base, _, way = name.partition(", ")
            if way == "equal":
                made[name] = rescaled(start_of(base)[0], start_of("l1")[0], exact, str(path)), 0.0
            elif way:
                density = fitted(start_of(base)[0], exact.needs, str(path))[0]
                moved = towards_atoms(density, path, work / "atoms", way)
                made[name] = Start(moved, Level()), start_of(base)[1]
            elif base in models:
                made[name] = predicted(case, path, base)
            else:
                random = np.random.default_rng(round(1000 * float(base)))
                made[name] = Start(noisy(exact.density, float(base), random), Level()), 0.0
        return made[name]

    for start in wanted:
        if start not in done and start != "default":
            put_down(start, **started(code, path, work / start.replace(" ", ""), *start_of(start), exact))
    for each in fixed:
        if each not in done:
            start = each.removeprefix("bands, ")
            put_down(each, **at_fixed_density(case, path, work, start, *start_of(start), exact))


def converged(code: Any, path: Path, work: Path) -> Converged:
    """The code's own start. PySCF is run by a script that keeps its density on the mesh."""
    if code.name != "pyscf":
        return code.converged(path, work)
    kept = work / "density.npy"
    script = work / "default.py"
    script.write_text(SCRIPT.format(input=str(path.absolute()), out=str(kept.absolute())))
    outcome = code.run(Written((), script, {}, work))
    needs, values = code.needs(path), np.load(kept) / BOHR**3
    grid = Grid.of(needs.structure.lattice.matrix, values.shape)
    return Converged(Volume(needs.structure, grid, {"total": values}), needs, outcome)


def started(code: Any, path: Path, out: Path, start: Start, before: float, exact: Converged) -> dict[str, Any]:
    """A calculation from a density. before: seconds that its prediction took."""
    written, more, facts = prepared(code, path, out, start, exact)
    outcome = code.run(written)
    return {
        "iterations": outcome.iterations,
        "seconds": round(outcome.seconds, 3),
        "before": round(before + more, 3),
        **facts,
    }


def prepared(
    code: Any, path: Path, out: Path, start: Start, exact: Converged
) -> tuple[Written, float, dict[str, float]]:
    """The files of a start, the seconds that they took, and the errors of the density in them."""
    began = processor()
    needs = code.needs(path, out, may_run=True)
    density, _ = fitted(start, needs, str(path))
    written = code.write(density, path, out, may_run=True, force=True)
    seconds = processor() - began
    return written, seconds, errors(density, fitted(Start(exact.density, Level()), needs, str(path))[0])


def again(folder: Path, names: list[str], starts: list[str]) -> None:
    """Measure the seconds before of rows once more. Raises SystemExit where a density is not what it was."""
    made: dict[tuple[str, str, str], float] = {}

    def key_of(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["case"], row["geometry"], row["start"].removeprefix("bands, ").partition(", ")[0]

    for row in records(RESULTS):
        name, geometry, start = key_of(row)
        if (names and name not in names) or start not in starts or start != row["start"]:
            continue
        case, path = CASES[name], folder_of(folder, name) / f"{geometry}{CASES[name].ending}"
        work, code = path.with_suffix(""), code_of(case.code)
        density, before = predicted(case, path, start)
        kept = work / "x.save" / "charge-density.dat"
        needs = code.needs(path, None, may_run=True)
        exact = Converged(read(kept), needs, Outcome(0, 0.0, ())) if kept.is_file() else converged(code, path, work)
        _, more, facts = prepared(code, path, work / "again", density, exact)
        if abs(facts["nmae"] - row["nmae"]) > SAME:
            raise SystemExit(f"{name}, {geometry}, {start}: NMAE {facts['nmae']}%, and {row['nmae']}% before")
        made[name, geometry, start] = round(before + more, 3)
        print(name, geometry, start, row["before"], made[name, geometry, start], flush=True)
    rows = [
        {**row, "before": made[key_of(row)]} if key_of(row) in made and not row["start"].endswith("equal") else row
        for row in records(RESULTS)
    ]
    with whole(RESULTS) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def errors(density: Volume, reference: Volume) -> dict[str, float]:
    """NMAE in %, Coulomb errors in eV per electron, at the points of the density."""
    import torch

    from edframe.metrics.standard import coulomb_error, low_g_error, nmae

    if density.grid.shape != reference.grid.shape:  # PySCF: the grid of the labels, and the mesh
        values = sampled(reference.fields["total"], density.grid.shape)
        reference = replace(reference, grid=density.grid, fields={"total": values})
    pair = [torch.from_numpy(np.ascontiguousarray(each.fields["total"]))[None, None] for each in (density, reference)]
    values = {
        "nmae": nmae(*pair),
        "coulomb": coulomb_error(*pair, reference.grid),
        "low_g": low_g_error(*pair, reference.grid),
    }
    return {key: float(f"{float(value[0]):.4g}") for key, value in values.items()}


def at_fixed_density(
    case: Case, path: Path, work: Path, start: str, density: Start, before: float, exact: Converged
) -> dict[str, Any]:
    """Bands of a density against those of the converged one: largest and mean square error, less a shift, meV.

    nscf: seconds of the bands after an SCF, of the converged density alone.
    """
    text = path.read_text().replace("&control\n", "&control\n calculation='bands',")
    head, card = text.split("K_POINTS")
    source = work / "bands.in"
    source.write_text(
        head.replace("&system\n", "&system\n nbnd=20,") + f"K_POINTS {case.bands}\n" + card.split("\n", 2)[2]
    )
    made = bands(fitted(density, exact.needs, str(path))[0], source, work / f"bands-{start.replace(' ', '')}")
    reference, usual = work / "bands-own.npy", {}
    if start == "own":
        np.save(reference, made.energies)
        (work / "nscf.in").write_text(PwInput.read(source).changed({"control.outdir": f"'{work.absolute()}'"}))
        usual = {"nscf": round(run_code(["pw.x", "-in", "nscf.in"], work, work / "nscf.out")[1], 3)}
    off = (made.energies - np.load(reference))[:, : made.occupied]
    off = 1e3 * (off - off.mean())
    return {
        "seconds": round(made.seconds, 3),
        "before": round(before, 3),
        "rms_mev": round(float(off.std()), 3),
        "max_mev": round(float(np.abs(off).max()), 3),
        **usual,
    }


def processor() -> float:
    """Seconds of this process and of those that it ran, user and system."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@cache
def trained(folder: Path, model: str) -> Path:
    """The run of a model on the labels of the training geometries."""
    place = folder / f"runs-{model.replace(' ', '')}"
    there = sorted(place.glob("*/report.html"))
    return there[-1].parent if there else place


def learnt(case: Case, folder: Path, model: str) -> Path:
    place = trained(folder, model)
    if place.name.startswith("runs-"):
        edframe = [str(Path(sys.executable).with_name("edframe"))]
        data = list(training_data(case, folder))
        build = [*edframe, "data", "build", *data, "--workers", "1"]
        chosen = [word for each in case.options if "local" in MODELS[model] for word in ("--set", each)]
        fit = [*edframe, "run", "--data", *data, *MODELS[model], *chosen, "--loss", "l1", "--runs", str(place),
               "--set", f"splits.folds={min(10, case.train or 10)}", "--set", "splits.validation=1"]  # fmt: skip
        for command in (build, fit):
            print(" ".join(command), flush=True)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        trained.cache_clear()
        place = trained(folder, model)
    return place


def training_data(case: Case, folder: Path) -> Iterator[str]:
    """Name and options of the dataset: inputs, or for PySCF the geometries in a file (Li2O's are shipped), for GPAW
    cubes of what it converges to."""
    if case.code == "gpaw":
        for path in sorted(folder.glob(f"train-??{case.ending}")):
            place = path.with_suffix(".cube")
            if not place.is_file():
                write(place, code_of("gpaw").converged(path, folder).density)
        yield from ("cube", "--set", f"data.files=[{folder.absolute()}/train-*.cube]")
    elif case.code != "pyscf":
        yield from (case.code, "--set", f"data.inputs=[{folder.absolute()}/train-*{case.ending}]")
    elif not case.train:
        yield from ("li-o-li", "--set", "data.samples=100")
    else:
        geometries = folder / "train.xyz"
        cell = " ".join(str(x) for x in case.system.vectors.ravel())
        text = ""
        for seed in range(case.train):
            moves = np.random.default_rng(seed).normal(0, SIGMA, case.system.positions.shape)
            text += f'{len(moves)}\nLattice="{cell}"\n'
            text += "".join(
                f"{s} {x:.6f} {y:.6f} {z:.6f}\n"
                for s, (x, y, z) in zip(case.system.symbols, (case.system.positions + moves).tolist(), strict=True)
            )
        if not geometries.is_file():
            geometries.write_text(text)
        yield from ("molecules", "--set", f"data.file={geometries.absolute()}")


def predicted(case: Case, path: Path, model: str) -> tuple[Start, float]:
    """A prediction and its seconds, without the start of Python and torch, which many structures share."""
    folder = folder_of(path.parents[1], case.taught) if case.taught else path.parent
    run = learnt(CASES.get(case.taught, case), folder, model)
    needs = code_of(case.code).needs(path, None, may_run=True)
    once(run, path.with_name(f"test-20{case.ending}"), case.code)
    began = processor()
    start = from_run(run, needs, "cpu")
    return start, processor() - began


@cache
def once(run: Path, path: Path, code: str) -> None:
    """A first prediction, which loads what is loaded once."""
    from_run(run, code_of(code).needs(path, None, may_run=True), "cpu")


def rescaled(start: Start, other: Start, exact: Converged, name: str) -> Start:
    """A density whose error is scaled to the NMAE that ``other`` has."""
    own = exact.density.fields["total"]
    ours, theirs = (fitted(each, exact.needs, name)[0].fields["total"] - own for each in (start, other))
    factor = np.abs(theirs).sum() / np.abs(ours).sum()
    return Start(replace(exact.density, fields={"total": own + factor * ours}), Level())


def towards_atoms(volume: Volume, path: Path, folder: Path, way: str) -> Volume:
    """Long waves taken from free atoms, which pw.x writes in a run of no steps: those below 1/bohr (mended), or each in
    part, 1 / (1 + (G bohr)²), as Kerker's mixing does with a change (damped)."""
    folder.mkdir(exist_ok=True)
    changes = {"electrons.electron_maxstep": "0", "control.outdir": f"'{folder.absolute()}'"}
    (folder / "zero.in").write_text(PwInput.read(path).changed(changes))
    run_code(["pw.x", "-in", "zero.in"], folder, folder / "zero.out")
    atoms = np.fft.fftn(read(folder / "x.save" / "charge-density.dat").fields["total"])
    spectrum = np.fft.fftn(volume.fields["total"])
    length = wave_vectors(volume) * BOHR
    part = length < 1 if way == "mended" else 1 / (1 + length**2)
    spectrum += part * (atoms - spectrum)
    return replace(volume, fields={**volume.fields, "total": np.fft.ifftn(spectrum).real})


def wave_vectors(volume: Volume) -> np.ndarray:
    """|G| of each wave on the grid of a density, 1/Å."""
    inverse = 2 * np.pi * np.linalg.inv(volume.grid.vectors).T
    miller = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in volume.grid.shape), indexing="ij")
    return np.linalg.norm(np.stack(miller, -1) @ inverse, axis=-1)


def noisy(volume: Volume, nmae: float, random: np.random.Generator) -> Volume:
    """ρ (1 + ε η), with η of waves of 1 Å and longer, and ε such that the NMAE in % is ``nmae``; electrons are kept."""
    total = volume.fields["total"]
    waves = np.fft.fftn(random.normal(size=total.shape))
    noise = np.fft.ifftn(waves * np.exp(-((wave_vectors(volume) / (2 * np.pi)) ** 2))).real
    change = total * noise
    change -= total * change.sum() / total.sum()
    change *= nmae / 100 * total.sum() / np.abs(change).sum()
    return replace(volume, fields={**volume.fields, "total": total + change})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--starts", type=lambda text: text.split(","), default=[])
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    (again if arguments.again else main)(arguments.folder, arguments.cases, arguments.starts)

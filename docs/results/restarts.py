"""Iterations and processor time of DFT calculations that start from densities of known error, and from predictions.

python docs/results/restarts.py FOLDER [CASE ...]
python docs/results/restarts.py table

Needs Quantum ESPRESSO and ABINIT of Debian 12 (quantum-espresso, quantum-espresso-data, abinit, abinit-data).
Inputs, labels and runs go to FOLDER, results to restarts.jsonl beside this script. What is there is not computed again,
so that a stopped command goes on. The second form writes the table of docs/restarts.md from restarts.jsonl. Seconds are
of the processor, user and system, with one thread.

Each case has perturbed geometries of one system: some to train on, others to start. A start is the code's own; the
converged density itself; the same times 1 + noise of waves longer than about 1 Å, with an NMAE of 0.1 to 3%; or the
prediction of a model that was fitted, in closed form, to densities of the same code, functional and pseudopotentials.

One module, though long: the cases, the runs and the table share the names of what is kept in restarts.jsonl.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edframe.data.level import Level
from edframe.errors import DataError
from edframe.io import Volume, read
from edframe.io.units import BOHR
from edframe.restart import code_of
from edframe.restart.espresso_input import PwInput
from edframe.restart.process import run as run_code
from edframe.restart.start import Start, fitted

RESULTS = Path(__file__).with_suffix(".jsonl")
QE = "/usr/share/espresso/pseudo"
HSCV = "/usr/share/doc/quantum-espresso/examples/CPV/EXX-wf-example"
DOJO = "/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8"
SIGMA = 0.05
"""Å, of each coordinate."""
FIELDS = ("iterations", "seconds", "prediction", "nmae")
MARKS = ("<!-- measured -->", "<!-- /measured -->")
NOISE = (0.1, 0.5, 1.0, 3.0)
"""NMAE in %."""
MODELS = {
    "krr": ["--featurizer", "atoms", "--model", "krr"],
    "local": ["--featurizer", "local", "--model", "baseline"],
}
"""Fitted in closed form: superposed atoms corrected by kernel ridge regression, or by what surrounds each point."""
WATER = (("O", "H", "H"), [[3.70, 3.70, 3.70], [4.45, 4.29, 3.70], [2.95, 4.29, 3.70]])
LITHIA = (("O", "Li", "Li"), [[3.6, 3.6, 3.6], [1.98, 3.6, 3.6], [5.22, 3.6, 3.6]])


@dataclass(frozen=True)
class Case:
    """One system in one code. write: input file from symbols and positions ``[atom, 3]`` in Å. train, test: numbers of
    geometries. mended: also start with the waves below 1/bohr of free atoms."""

    code: str
    system: tuple[tuple[str, ...], list[list[float]]]
    write: Callable[[Path, tuple[str, ...], np.ndarray], None]
    ending: str
    train: int = 20
    test: int = 6
    noise: tuple[float, ...] = NOISE
    models: tuple[str, ...] = ("krr",)
    mended: bool = False


def pw(
    system: str,
    pseudopotentials: dict[str, str],
    folder: str = QE,
    *,
    electrons: str = "",
    tail: str = "K_POINTS gamma\n",
) -> Callable[..., None]:
    def write(path: Path, symbols: tuple[str, ...], positions: np.ndarray) -> None:
        kinds = "\n".join(f"{symbol} 1.0 {name}" for symbol, name in pseudopotentials.items())
        atoms = "\n".join(
            f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(symbols, positions.tolist(), strict=True)
        )
        path.write_text(
            f"&control\n prefix='x', outdir='./tmp-{path.stem}', pseudo_dir='{folder}', disk_io='low' /\n"
            f"&system\n {system}, nat={len(symbols)}, ntyp={len(pseudopotentials)} /\n"
            f"&electrons\n conv_thr=1e-8{electrons} /\n"
            f"ATOMIC_SPECIES\n{kinds}\nATOMIC_POSITIONS angstrom\n{atoms}\n{tail}"
        )

    return write


def water_for_abinit(path: Path, symbols: tuple[str, ...], positions: np.ndarray) -> None:
    atoms = "\n".join(f" {x:.6f} {y:.6f} {z:.6f}" for x, y, z in positions.tolist())
    path.write_text(
        f"acell 3*14.0\nnatom 3 ntypat 2 typat 1 2 2 znucl 8 1\nxcart\n{atoms} angstrom\necut 20 kptopt 0 nkpt 1 "
        f'nband 6 nstep 60 toldfe 1e-8 prtwf 0\npp_dirpath "{DOJO}" pseudos "O.psp8, H.psp8"\n'
    )


SIDE, LAYER = 4.05 / 2**0.5, 4.05 / 2
SLAB = (("Al",) * 8, [[(k % 2) * SIDE / 2, (k % 2) * SIDE / 2, 4 + k * LAYER] for k in range(8)])
SLAB_CELL = f"K_POINTS automatic\n4 4 1 0 0 0\nCELL_PARAMETERS angstrom\n{SIDE:.6f} 0 0\n0 {SIDE:.6f} 0\n0 0 26\n"
SMEARED = "ibrav=0, ecutwfc=15, occupations='smearing', smearing='mv', degauss=0.02"


def slab(electrons: str) -> Case:
    write = pw(SMEARED, {"Al": "Al.pz-vbc.UPF"}, electrons=electrons, tail=SLAB_CELL)
    return Case("qe", SLAB, write, ".in", train=0, test=2, noise=(0.5, 1.0, 3.0), models=(), mended=True)


BOX = "ibrav=1, celldm(1)=14, ecutwfc=30"
CASES = {
    "water, norm-conserving": Case(
        "qe", WATER, pw(BOX, {"O": "O.UPF", "H": "H.UPF"}, "../pseudo"), ".in", train=60, models=("krr", "local")
    ),
    "water, PAW": Case(
        "qe", WATER, pw(BOX + ", ecutrho=200", {"O": "O.pbe-kjpaw.UPF", "H": "H.pbe-kjpaw.UPF"}), ".in",
        train=12, test=2, noise=(1.0,),
    ),
    "lithia, ultrasoft": Case(
        "qe", LITHIA,
        pw("ibrav=1, A=7.2, ecutwfc=30, ecutrho=240",
           {"O": "O.pbesol-n-rrkjus_psl.0.1.UPF", "Li": "Li.pbesol-s-rrkjus_psl.0.2.1.UPF"}),
        ".in", train=10, test=3, noise=(1.0,),
    ),
    "aluminium slab": slab(""),
    "aluminium slab, local-TF": slab(", mixing_mode='local-TF'"),
    "water, ABINIT": Case("abinit", WATER, water_for_abinit, ".abi", test=3, noise=(0.5, 1.0, 3.0)),
}  # fmt: skip


def main(folder: Path, names: list[str]) -> None:
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    pseudo = folder / "pseudo"
    pseudo.mkdir(parents=True, exist_ok=True)
    for symbol in ("O", "H"):
        place = pseudo / f"{symbol}.UPF"
        if not place.exists():
            place.write_bytes(gzip.decompress(Path(f"{HSCV}/{symbol}_HSCV_PBE-1.0.UPF.gz").read_bytes()))
    for name in names or list(CASES):
        measure(name, CASES[name], folder / name.replace(", ", "-").replace(" ", "-"), rows)


def measure(name: str, case: Case, folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    symbols, positions = case.system
    seeds = [*range(min(case.train, 20)), *range(100, 80 + case.train)]
    parts = [*(("train", seed) for seed in seeds), *(("test", 20 + number) for number in range(case.test))]
    for part, seed in parts:
        path = folder / f"{part}-{seed:02d}{case.ending}"
        if not path.exists():
            moves = np.random.default_rng(seed).normal(0, SIGMA, (len(symbols), 3))
            case.write(path, symbols, np.array(positions) + moves)
    runs = {model: trained(case, folder, model) for model in case.models}
    code = code_of(case.code)
    for path in sorted(folder.glob(f"test-*{case.ending}")):
        one_geometry(name, case, code, path, runs, rows)


def one_geometry(name, case, code, path, runs, rows) -> None:  # type: ignore[no-untyped-def]
    work = path.with_suffix("")
    work.mkdir(exist_ok=True)

    def record(start: str, **facts: object) -> None:
        row = json.dumps({"case": name, "geometry": path.stem, "start": start, **facts})
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(row + "\n")
        print(row, flush=True)

    done = {row["start"] for row in rows if (row["case"], row["geometry"]) == (name, path.stem)}
    starts = {"own": 0.0, **{f"{level:g}": level for level in case.noise}}
    mended = {f"{level:g}, mended": level for level in case.noise if case.mended}
    if {"default", *starts, *mended, *case.models} <= done:
        return
    found = code.converged(path, work)
    if "default" not in done:
        record("default", iterations=found.outcome.iterations, seconds=round(found.outcome.seconds, 3))
    for start, level in starts.items():
        if start not in done:
            density = noisy(found.density, level, np.random.default_rng(round(1000 * level)))
            record(start, **started(code, path, work / start, Start(density, Level()), found.density))
    for start, level in mended.items():
        if start not in done:
            density = noisy(found.density, level, np.random.default_rng(round(1000 * level)))
            density = with_long_waves_of_atoms(density, path, work / "atoms")
            record(start, **started(code, path, work / start, Start(density, Level()), found.density))
    for model, run in runs.items():
        if model not in done:
            start = predicted(run, code, path, work / model)
            record(model, **started(code, path, work / model, start, found.density))


def started(code, path, out, start, exact) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """A calculation from a density: iterations, seconds of code and prediction, what else the start costs."""
    needs = code.needs(path, out, may_run=True)
    density, _ = fitted(start, needs, str(path))
    written = code.write(density, path, out, may_run=True, force=True)
    reference = fitted(Start(exact, Level()), needs, str(path))[0].fields["total"]
    nmae = 100 * float(np.abs(density.fields["total"] - reference).sum() / reference.sum())
    outcome = code.run(written)
    return {
        "iterations": outcome.iterations,
        "seconds": round(outcome.seconds, 3),
        "prediction": round(start.seconds, 3),
        "nmae": round(nmae, 4),
    }


def trained(case: Case, folder: Path, model: str) -> Path:
    """The run of a model on the labels of the training geometries."""
    place = folder / f"runs-{model}"
    there = sorted(place.glob("*/report.html"))
    if there:
        return there[-1].parent
    data = f"data.inputs=[{folder.absolute()}/train-*{case.ending}]"
    edframe = [str(Path(sys.executable).with_name("edframe"))]
    subprocess.run([*edframe, "data", "build", case.code, "--set", data, "--workers", "1"], check=True)
    subprocess.run(
        [*edframe, "run", "--data", case.code, "--set", data, *MODELS[model], "--loss", "l1", "--runs", str(place),
         "--set", "splits.folds=10", "--set", "splits.validation=1"],
        check=True,
    )  # fmt: skip
    return sorted(place.glob("*/report.html"))[-1].parent


def predicted(run: Path, code, path, out) -> Start:  # type: ignore[no-untyped-def]
    from edframe.cli import options
    from edframe.contract.registry import Registry
    from edframe.restart.start import from_run

    registry = Registry.discover()
    experiment = options.resolved(registry, run / "config.yaml", {}, device="cpu")
    return from_run(run, code.needs(path, out, may_run=True), experiment, registry)


def with_long_waves_of_atoms(volume: Volume, path: Path, folder: Path) -> Volume:
    """The waves below 1/bohr replaced by those of free atoms, which pw.x writes in a run of no steps."""
    folder.mkdir(exist_ok=True)
    changes = {"electrons.electron_maxstep": "0", "control.outdir": f"'{folder.absolute()}'"}
    (folder / "zero.in").write_text(PwInput.read(path).changed(changes))
    run_code(["pw.x", "-in", "zero.in"], folder, folder / "zero.out")
    atoms = np.fft.fftn(read(folder / "x.save" / "charge-density.dat").fields["total"])
    spectrum = np.fft.fftn(volume.fields["total"])
    long = wave_vectors(volume) * BOHR < 1
    spectrum[long] = atoms[long]
    return replace(volume, fields={**volume.fields, "total": np.fft.ifftn(spectrum).real})


def wave_vectors(volume: Volume) -> np.ndarray:
    """|G| of each wave on the grid of a density, 1/Å."""
    inverse = 2 * np.pi * np.linalg.inv(volume.grid.vectors).T
    miller = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in volume.grid.shape), indexing="ij")
    return np.linalg.norm(np.stack(miller, -1) @ inverse, axis=-1)


def noisy(volume: Volume, nmae: float, random: np.random.Generator) -> Volume:
    """ρ (1 + ε η), with η of waves of 1 Å and longer, and ε such that the NMAE in % is ``nmae``; electrons are kept."""
    total = volume.fields["total"]
    if not nmae:
        return volume
    waves = np.fft.fftn(random.normal(size=total.shape))
    noise = np.fft.ifftn(waves * np.exp(-((wave_vectors(volume) / (2 * np.pi)) ** 2))).real
    change = total * noise
    change -= total * change.sum() / total.sum()
    change *= nmae / 100 * total.sum() / np.abs(change).sum()
    return replace(volume, fields={**volume.fields, "total": total + change})


def table() -> None:
    """Write the medians over geometries between the marks of docs/restarts.md."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    lines = ["| case | start | geometries | NMAE, % | iterations | s | prediction, s | saved net, % (paired) |"]
    lines.append("|" + "---|" * 8)
    for case in cases:
        own = [row for row in rows if row["case"] == case]
        default = {row["geometry"]: row for row in own if row["start"] == "default"}
        for start in dict.fromkeys(row["start"] for row in own):
            chosen = [row for row in own if row["start"] == start]
            saved = [
                100 * (1 - (row["seconds"] + row.get("prediction", 0)) / default[row["geometry"]]["seconds"])
                for row in chosen
            ]
            middle = {key: np.median([row.get(key, 0) for row in chosen]) for key in FIELDS}
            net = f"{np.median(saved):.0f} ({min(saved):.0f} to {max(saved):.0f})" if start != "default" else ""
            nmae = f"{middle['nmae']:.2g}" if start != "default" else ""
            predicted = f"{middle['prediction']:.2f}" if middle["prediction"] else ""
            lines.append(
                f"| {case} | {start} | {len(chosen)} | {nmae} | {middle['iterations']:g} | {middle['seconds']:.2f} | "
                f"{predicted} | {net} |"
            )
    page = Path(__file__).parents[1] / "restarts.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    page.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    if sys.argv[1] == "table":
        raise SystemExit(table())
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except DataError as error:
        raise SystemExit(f"Error: {error}") from error

"""``edframe predict``: structures in, densities out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edframe.cli import options
from edframe.cli.complete import model_names
from edframe.cli.progress import stopping_keeps_what_is_done
from edframe.errors import ConfigError, DataError, EdframeError
from edframe.memory import free_memory

if TYPE_CHECKING:
    from edframe.predict.files import Asked, Job, Said

LARGEST = 10_000
"""Points along an axis that --grid takes."""
PARTS, SPLIT = 4, 16
"""Parts of a trajectory for each worker, and workers that are reckoned with on a cluster."""


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="[MODEL]",
            help="Run directory of a trained model, an ensemble's, or the name of an installed one, see `edframe "
            "models`; left out: the installed one that covers the elements.",
            autocompletion=model_names,
        ),
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="STRUCTURE FILE",
            help="POSCAR, CIF, CHGCAR, cube, xyz, …, then the density to write: CHGCAR…, ….cube or ….xsf. With --out, "
            "any number of structures.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the densities of many structures.")
    ] = None,
    ending: Annotated[
        Literal["cube", "xsf", "vasp"], typer.Option("--format", help="Of the files in --out; vasp: as CHGCAR.")
    ] = "cube",
    grid: Annotated[
        tuple[int, int, int] | None, typer.Option("--grid", metavar="N N N", help="Numbers of points of the density.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="FILE", help="As many points as this CHGCAR, cube, … has.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.01, help="Largest voxel edge, Å; default: the training data's.")
    ] = None,
    vacuum: Annotated[
        float | None,
        typer.Option("--vacuum", help="Around a molecule without a cell, Å; default: as in the training data."),
    ] = None,
    electrons: Annotated[
        float | None,
        typer.Option("--electrons", min=0, help="Valence electrons; default: of the neutral atoms, less the charge."),
    ] = None,
    charge: Annotated[
        float | None,
        typer.Option(
            "--charge",
            help="Of the cell, in e: electrons fewer than in the neutral atoms; default: that in an xyz file, or 0.",
        ),
    ] = None,
    symmetrise: Annotated[
        bool, typer.Option("--symmetrise", help="Average over the cell's symmetries: up to 48 times slower.")
    ] = False,
    spin: options.Spin = "total",
    force: options.Force = False,
    device: options.Device = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that predict; 0: one per core.")] = 1,
    scheduler: options.Scheduler = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory", metavar="GIB", min=0.5, help="Memory that may be taken, GiB; default: what is free."),
    ] = None,
) -> None:
    """Predict the electron density of structures, and write it for VASP, VESTA or PySCF.

    A CHGCAR, cube or other file with a grid gets a density on the same points, unless --grid, --like or --spacing asks
    for others. A structure without a grid gets points by --spacing, multiples of 8, which are fastest. A molecule
    without a cell is put into a box, with --vacuum around it.

    Of several frames (xyz, XDATCAR, traj, XSF), each is predicted, into FILE_0, FILE_1, … With --out DIR there may be
    many files: each density is named after its structure. Densities that are there already are skipped, so that a
    stopped command continues, and a structure that fails does not stop the others.

    A grid that does not fit into the memory is predicted in tiles by models that state how far they look, such as
    U-Nets, with the same result, also of an ensemble and with --symmetrise; the folder of the density then holds some
    times its size beside it, meanwhile.

    With --workers or --scheduler several processes predict, each with one thread: with --out the structures, else the
    tiles of the one structure, where that is sooner done. The local ones share the memory; those of a scheduler have
    it each.

    With --symmetrise, the density of a turned structure is the turned density, for every turn that maps the cell's grid
    onto itself; training with augmentation makes it nearly so.

    An ensemble, made by `edframe ensemble`, also writes the spread of its members, which is the standard deviation to
    expect at each point, into a second file, and says which NMAE to expect; so does one run whose featurizer knows it,
    such as local-network or orbitals. A structure with atoms in surroundings
    that were not trained on is predicted with a warning. The distance that is printed is from the training data, in
    units in which 1 is the edge of what they hold.

    Examples:

      edframe predict POSCAR density.cube

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c POSCAR CHGCAR

      edframe predict runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c *.xyz --out densities
    """
    from edframe import io
    from edframe.predict.pretrained import located

    # PyTorch gives large tensors back to the system, and pages of 2 MiB in place of 4 KiB come again sooner.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    structures = [run, *(paths or [])] if run.is_file() else list(paths or [])
    if charge is not None and electrons is not None:
        raise ConfigError("--electrons says how many there are, and --charge that they differ; give one of the two")
    if out is None and len(structures) == 1 and not run.exists():
        _require_model(run)
    if out is None and len(structures) != 2:
        raise ConfigError(
            f"give a structure and the file to write, not {len(structures)} paths; for many structures: --out DIR"
        )
    if not structures:
        raise ConfigError("give at least one structure to predict")
    from edframe.io.boxes import vacuum_for
    from edframe.predict.files import Asked, Said, predictions, trained_vacuum

    if scheduler is not None:  # whose workers may be in another folder
        structures, out = [path.resolve() for path in structures], None if out is None else out.resolve()
    pairs = [(structures[0], structures[1])] if out is None else _named(structures, out, ending)
    io.format_of(pairs[0][1])
    shape = _asked(grid, like, spacing)
    folder = _for_elements([path for path, _ in pairs]) if run.is_file() else located(run)
    folder = folder.resolve() if scheduler is not None else folder
    around = vacuum_for(vacuum, trained_vacuum(folder))
    room = None if memory is None else memory * 2**30
    processes = workers or os.cpu_count() or 1
    asked = Asked(
        folder, device, symmetrise, around, shape, spacing, electrons, charge, spin, force, out is not None, room
    )
    if out is None:
        asked = replace(asked, workers=processes, scheduler=scheduler)
        (job,) = _jobs(*pairs[0], asked)
        for said in predictions(job):
            _say(said)
        return
    out.mkdir(parents=True, exist_ok=True)
    if processes > 1 and scheduler is None:  # they share the memory
        asked = replace(asked, memory=(free_memory() if room is None else room) / processes)
    jobs: list[Job] = []
    failed = 0
    for path, target in pairs:
        try:
            jobs += _jobs(path, target, asked, processes if scheduler is None else SPLIT)
        except EdframeError as error:
            _say(Said(f"{error}" if str(path) in str(error) else f"{path}: {error}", "error"))
            failed += 1
    total = failed + sum(job.last - job.first for job in jobs)
    with stopping_keeps_what_is_done():
        for said in _all(jobs, processes, scheduler):
            _say(said)
            failed += said.kind == "error"
    if failed:
        raise DataError(f"{failed} of {total} structures could not be predicted; the others are in {out}")


def _require_model(run: Path) -> None:
    """Raise ConfigError for what is no file and no model, such as a misspelt structure."""
    from edframe.contract.registry import Registry

    if len(run.parts) != 1 or str(run) not in Registry.discover().shipped:
        raise ConfigError(f"{run}: there is no such file, no such run, and no installed model of that name")


def _for_elements(structures: Sequence[Path]) -> Path:
    """The files of the installed model that covers the elements of all structures. Says which it is."""
    from edframe.contract.registry import Registry
    from edframe.io.boxes import vacuum_for
    from edframe.predict.files import frames_of
    from edframe.predict.pretrained import covering, folder_of

    species: set[str] = set()
    errors: list[EdframeError] = []
    for path in structures:
        try:
            frames = frames_of(path, vacuum_for(None, None)).structures
        except EdframeError as error:  # of many files this one fails later, with its name
            errors.append(error)
        else:
            species.update(site.specie.symbol for atoms in frames for site in atoms)
    if not species:
        raise errors[0]
    chosen = covering(Registry.discover(), species)
    typer.echo(f"model: {chosen.label}, trained on the level {chosen.model.level}")
    return folder_of(chosen)


def _all(jobs: Sequence[Job], workers: int, scheduler: str | None) -> Iterator[Said]:
    """What is said of all jobs, done here or in other processes."""
    from edframe.jobs import run_jobs
    from edframe.predict.files import Said, predictions

    if workers == 1 and scheduler is None:
        for job in jobs:
            yield from predictions(job)
        return
    done = run_jobs("edframe.predict.files:predict_file", jobs, workers=workers, scheduler=scheduler)
    with contextlib.closing(done):
        for index, result in done:
            if isinstance(result, Exception):
                yield Said(f"{jobs[index].path}: {result}", "error")
            else:
                yield from result


def _jobs(path: Path, target: Path, asked: Asked, workers: int = 1) -> list[Job]:
    """The frames of a file, in some parts for each of several workers. Raises ConfigError for files that exist."""
    from edframe.predict.files import Job, frames_of, targets

    frames = frames_of(path, asked.vacuum)
    if not asked.skip:
        options.refuse_to_overwrite(targets(target, frames, asked.spin), asked.force)
    count = len(frames.structures)
    step = count if workers == 1 else -(-count // (PARTS * workers))
    return [Job(asked, path, target, first, min(first + step, count)) for first in range(0, count, step)]


def _say(said: Said) -> None:
    if said.kind == "done":
        typer.echo(said.text)
    elif said.kind == "note":
        typer.secho(f"Note: {said.text}", err=True)
    else:
        colour = typer.colors.YELLOW if said.kind == "warning" else typer.colors.RED
        typer.secho(f"{said.kind.capitalize()}: {said.text}", fg=colour, err=True)


def _named(paths: Sequence[Path], out: Path, ending: str) -> list[tuple[Path, Path]]:
    """Each structure and the file for its density in ``out``, named after as much of its path as is needed."""
    from edframe.io.files import plain_name
    from edframe.io.patterns import names as shortest

    names = shortest([path.resolve() for path in paths])
    bare = {path: plain_name(name.replace("/", "-")) for path, name in zip(paths, names, strict=True)}
    known = {path: name.rsplit(".", 1)[0] if "." in name[1:] else name for path, name in bare.items()}
    if len(set(known.values())) < len(known):  # a.xyz and a.cif
        known = bare
    return [(path, out / f"{known[path]}.{ending}") for path in paths]


def _asked(grid: tuple[int, int, int] | None, like: Path | None, spacing: float | None) -> tuple[int, ...] | None:
    """The numbers of points that are asked for; None where they are not."""
    from edframe.io.grids import points_of

    options = {"--grid": grid, "--like": like, "--spacing": spacing}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both choose the grid; give one of them")
    if grid is not None and not all(1 <= n <= LARGEST for n in grid):
        raise ConfigError(f"--grid {' '.join(map(str, grid))}: a grid has 1 to {LARGEST} points along an axis")
    if like is None:
        return grid
    if (other := points_of(like)) is None:
        raise DataError(f"--like {like} has no grid; give a CHGCAR, cube, … or numbers of points by --grid N N N")
    return other.shape

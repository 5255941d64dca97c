"""``edframe data``: datasets, what is in them, the slow work of making them, and files in and out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edframe.cli import options
from edframe.cli.complete import component_names
from edframe.cli.progress import progress, stopping_keeps_what_is_done
from edframe.cli.signals import raise_interrupts
from edframe.errors import DataError

if TYPE_CHECKING:
    from edframe.config.experiment import Choice
    from edframe.interfaces import Dataset

app = typer.Typer(help="Datasets: list, describe, build, check; files in and out.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a dataset.", autocompletion=component_names("dataset"))]

SHOWN = 20
"""Reasons of failures that are printed; all are kept beside the samples."""


@app.command("list")
def list_() -> None:
    """List the installed datasets."""
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    for name in registry.names("dataset"):
        typer.echo(f"{name:<14} {registry.get('dataset', name).summary}")


@app.command("info")
def info(name: Name, settings: options.Settings = None) -> None:
    """Show what a dataset holds, how it was made, what was left out, and its fingerprint."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edframe.data.copies import copies, identities
    from edframe.data.overview import facts_of, overview

    _, dataset = _open(name, settings)
    contents = dataset.contents
    held = [f"{key}: {len(part)}" for key, part in dataset.holdouts.items()]
    rows = {
        "samples": len(dataset),
        "groups kept together": len(set(dataset.groups)),
        "copies of other samples": len(dataset) - len(set(copies(identities(dataset)))),
        "held-out sets (splits.test)": ", ".join(held) or "none",
        "species": ", ".join(contents.species),
        "spin channels": contents.spins,
        **overview(facts_of(dataset)),
        **dataset.describe(),
        "fingerprint": dataset.fingerprint(),
    }
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(escape(str(key)), escape(str(value)))
    Console(highlight=False).print(table)
    _tell_failures(dataset)


@app.command("build")
def build(
    name: Name,
    settings: options.Settings = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="STORE", help="Also copy all samples to a store: a folder or URL.")
    ] = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Redo the DFT calculations themselves.")] = False,
    workers: Annotated[int, typer.Option("--workers", help="Parallel processes; 0: one per core.")] = 0,
    scheduler: options.Scheduler = None,
) -> None:
    """Do a dataset's slow work once and store the result. After Ctrl-C the same command continues.

    A sample that cannot be made, such as a calculation that does not converge, is listed with its reason and left out.

    Examples:

      edframe data build li-o-li

      edframe data build vasp --set "data.files=[runs/*]" --out densities.zarr

      edframe data build molecules --set data.file=geometries.xyz --workers 4
    """
    choice, dataset = _open(name, settings)
    raise_interrupts()
    with stopping_keeps_what_is_done(), progress(f"{name}: {'DFT' if recompute else 'densities'}") as advance:
        processes = workers or os.cpu_count() or 1
        dataset.build(advance, recompute=recompute, workers=processes, scheduler=scheduler)
        advance(len(dataset), len(dataset))
    if out is not None:
        from edframe.data.copying import copy_to_store

        with stopping_keeps_what_is_done(), progress(f"{name}: into {out}") as advance:
            copy_to_store(dataset, out, choice.dump(), advance)
    _tell_electrons(dataset)
    _tell_failures(dataset)


def _tell_electrons(dataset: Dataset) -> None:
    """The electrons of samples that were read, and what was decided in reading, alike ones once."""
    electrons = dataset.describe().get("electrons (samples)")
    if electrons:
        typer.echo(f"{len(dataset)} samples: {electrons}")
    named: dict[str, list[str]] = {}
    for sample, sentences in dataset.remarks.items():
        for sentence in sentences:
            named.setdefault(sentence, []).append(sample)
    for sentence, samples in list(named.items())[:SHOWN]:
        more = f" and {len(samples) - 1} more" if len(samples) > 1 else ""
        typer.echo(f"Note: {samples[0]}{more}: {sentence}")
    if len(named) > SHOWN:
        typer.echo(f"Note: … and {len(named) - SHOWN} further notes")


def _tell_failures(dataset: Dataset) -> None:
    failures = dataset.failures
    if not failures:
        return
    typer.echo(f"{len(dataset)} samples; {len(failures)} could not be made and are left out:")
    for sample, reason in list(failures.items())[:SHOWN]:
        typer.echo(f"  {sample}: {reason}")
    if len(failures) > SHOWN:
        typer.echo(f"  … and {len(failures) - SHOWN} more")


@app.command("check")
def check(store: Annotated[str, typer.Argument(metavar="STORE", help="Folder or URL of a store.")]) -> None:
    """Read all of a store and compare it with its checksums; name each sample that is damaged."""
    from edframe.data.store import Store

    opened = Store(store)
    with progress(f"{store}: samples") as advance:
        damages = opened.check(advance)
    if damages:
        raise DataError(f"{store} is damaged; restore it from a copy, or build it again:\n" + "\n".join(damages))
    typer.echo(f"{store} is whole: {len(opened)} samples, fingerprint {opened.fingerprint()}")


@app.command("export")
def export(
    name: Name,
    sample: Annotated[str, typer.Argument(help="Id of a sample.")],
    file: Annotated[Path, typer.Argument(help="CHGCAR…, ….cube or ….xsf, each also .gz.")],
    settings: options.Settings = None,
    spin: options.Spin = "total",
    force: options.Force = False,
) -> None:
    """Write the density of one sample to a file for VASP, VESTA or PySCF."""
    from edframe import io
    from edframe.contract.registry import suggest
    from edframe.data.conversion import volume_of

    _, dataset = _open(name, settings)
    ids = list(dataset.ids)
    if sample not in ids:
        raise DataError(f"{name} has no sample '{sample}'{suggest(sample, ids[:10_000])}")
    volume = volume_of(dataset[ids.index(sample)])
    options.refuse_to_overwrite(io.files_of(file, volume, spin), force)
    for written in _named(file, io.write(file, volume, spin=spin)):
        typer.echo(written)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="CHGCAR…, LOCPOT…, ….cube or ….xsf, plain or packed.")],
    target: Annotated[Path, typer.Argument(help="File to write; its name gives the format.")],
    unit: options.Unit = None,
    quantity: options.Quantity = None,
    spin: options.Spin = "total",
    force: options.Force = False,
) -> None:
    """Convert a volumetric file to another format, and print the number of electrons in it.

    A file that cannot be a density of its atoms is refused, unless --quantity says that it is something else. A cube
    has one field: a spin-polarised density becomes two, FILE.cube and FILE_spin.cube, or with --spin up-down
    FILE_up.cube and FILE_down.cube.

    Examples:

      edframe data convert CHGCAR silicon.cube

      edframe data convert density.cube density.xsf --unit "e/Å³"

      edframe data convert ELFCAR elf.cube --quantity field
    """
    from edframe import io
    from edframe.io.electrons import PART, check, not_a_density, said

    io.format_of(target)
    volume = io.read(source, unit=unit, quantity=quantity)
    if volume.quantity == "field" and quantity is None and any("left unchanged" in note for note in volume.notes):
        raise DataError(f"{not_a_density(volume, str(source))}; --quantity field writes it as it is")
    doubts: tuple[str, ...] = ()
    if volume.quantity == "density":
        doubts = check(volume, str(source), part=bool(PART.search(source.name)))
    options.refuse_to_overwrite(io.files_of(target, volume, spin), force)
    for file in _named(target, io.write(target, volume, spin=spin)):
        typer.echo(file)
    typer.echo(f"{source}: {said(volume)}")
    for note in (*volume.notes, *doubts):
        typer.secho(f"Note: {source}: {note}.", err=True)


def _named(asked: Path, written: list[Path]) -> list[Path]:
    """The files, where they are not the one that was asked for."""
    return written if written != [asked] else []


@app.command("vasp-inputs")
def vasp_inputs(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder in which one folder per sample is made.")],
    settings: options.Settings = None,
) -> None:
    """Write VASP input folders for the structures of a dataset, to label them by VASP.

    POSCAR, INCAR and KPOINTS come from pymatgen's input sets; POTCAR is named (POTCAR.spec), not included. When the
    calculations are finished, `edframe data build vasp --set "data.files=[DIR/*]"` takes them in.
    """
    from edframe.io.vasp_inputs import write_inputs

    _, dataset = _open(name, settings)
    raise_interrupts()
    with stopping_keeps_what_is_done(), progress(f"{name}: VASP inputs") as advance:
        samples = ((identity, dataset[index].structure) for index, identity in enumerate(dataset.ids))
        count = write_inputs(samples, folder, lambda done: advance(done, len(dataset)))
    typer.echo(f"{count} folders in {folder}")


def _open(name: str, settings: list[str] | None) -> tuple[Choice, Dataset]:
    """A dataset with the options ``--set data.key=value``, and the choice that it is made from."""
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    choice = options.resolved(registry, None, {"data": name}, settings).data
    return choice, choice.make(registry)

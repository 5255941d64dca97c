"""``edframe show`` and ``edframe charges``: a density to look at, and its electrons by atom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edframe.cli import options
from edframe.errors import ConfigError, DataError

if TYPE_CHECKING:
    from edframe.api.density import Density

NO_DIPOLE = (
    "there is no dipole moment, because the density does not vanish between the atoms and their images: it is that of "
    "a crystal or a slab, or of a molecule in a narrow box; predict that with a wider one, by --vacuum 5"
)

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE|RUN [REFERENCE]", help="CHGCAR…, ….cube, ….xsf, …; two: their difference, too; or a run."
    ),
]


def show(
    files: Files,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="….png or ….html; default: beside the density, as PNG.")
    ] = None,
    plane: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            "--plane", metavar="A B C", help="Through three atoms, numbered from 1; default: found by itself."
        ),
    ] = None,
    line: Annotated[
        tuple[int, int] | None,
        typer.Option("--line", metavar="A B", help="The profile from one atom to another, numbered from 1."),
    ] = None,
    sample: Annotated[
        Literal["worst", "median", "best"], typer.Option("--sample", help="Which test sample of a run.")
    ] = "median",
    unit: options.Unit = None,
    force: options.Force = False,
) -> None:
    """Draw a density, as a picture of the plane through its atoms or as a page with surfaces to turn.

    Of two files, both are drawn, and the first minus the second; of a run, what it predicted for a test sample, the
    reference, and their difference. The metrics of the report are printed.

    Examples:

      edframe show CHGCAR

      edframe show CHGCAR --out density.html

      edframe show predicted.cube reference.cube --line 1 2

      edframe show runs/20260101T120000Z-li-o-li-unet-sinkhorn-1a2b3c --sample worst --out worst.html
    """
    if plane is not None and line is not None:
        raise ConfigError("--plane and --line draw different pictures; give one of them")
    shown = _shown(files, sample, unit)
    target = out or shown.beside
    if target.suffix.lower() not in (".png", ".html"):
        raise ConfigError(f"--out {target}: its name must end in .png or .html")
    options.refuse_to_overwrite([target], force)
    from edframe.io.files import replacing
    from edframe.report.numbers import number
    from edframe.report.page import Picture
    from edframe.report.style import png

    atoms = len(shown.density.structure)
    numbered = [_counted("--plane" if plane else "--line", chosen, atoms) for chosen in (plane or line or ())]
    for name, (value, named) in shown.metrics.items():
        typer.echo(f"{name:<22} {number(value, 3)} {named}")
    density, reference = shown.density, shown.reference
    figure = density.plot(
        reference, plane=numbered if plane else None, line=(numbered[0], numbered[1]) if line else None
    )
    content = image = png(figure)
    if target.suffix.lower() == ".html":
        from edframe.api.page import page

        caption = "Along the line between two atoms." if line else (
            "In a plane through the atoms; those away from it are hollow. Densities are on a logarithmic scale with a "
            "contour at each power of ten."
        )  # fmt: skip
        if reference is not None and not line:
            caption += " The difference is linear up to 1% of its largest value and logarithmic above."
        picture = Picture("line" if line else "plane", image, f"Density of {density.structure.formula}", caption)
        content = page(shown.title, density, reference, shown.metrics, [picture]).encode()
    with replacing(target) as file:
        file.write(content)
    typer.echo(target)


@dataclass(frozen=True)
class _Shown:
    """What is drawn. beside: where, if nothing else is said. metrics: value and unit by name."""

    title: str
    beside: Path
    density: Density
    reference: Density | None
    metrics: Mapping[str, tuple[float, str]]


def _shown(files: list[Path], sample: str, unit: str | None) -> _Shown:
    if len(files) > 2:
        raise ConfigError(f"give one file, or two to compare, not {len(files)}")
    first = files[0]
    if (first / "config.yaml").is_file():
        if len(files) == 2:
            raise ConfigError(f"{first} is a run, which has its own reference; give it alone, or two files")
        from edframe.api.shown import kept

        name, density, reference, metrics = kept(first, sample)
        typer.echo(f"{first}: {sample} test sample, {name}, {reference.electrons:.6g} electrons")
        return _Shown(f"{name}, the {sample} test sample", first / f"{sample}.png", density, reference, metrics)
    densities = [_opened(file, unit) for file in files]
    beside = first.with_name(f"{first.name}.png")
    if len(files) == 1:
        return _Shown(first.name, beside, densities[0], None, {})
    from edframe.api.comparing import compare
    from edframe.metrics.standard import units

    named = units()
    metrics = {name: (value, named[name]) for name, value in compare(*densities).items()}
    return _Shown(f"{first.name} against {files[1].name}", beside, densities[0], densities[1], metrics)


def _counted(option: str, number: int, atoms: int) -> int:
    """An atom by its number from 0, given from 1."""
    if not 1 <= number <= atoms:
        raise ConfigError(f"{option}: there is no atom {number}; the atoms are 1 to {atoms}")
    return number - 1


def charges(
    file: Annotated[Path, typer.Argument(help="CHGCAR…, ….cube, ….xsf, …")],
    method: Annotated[
        Literal["voronoi", "hirshfeld", "bader"], typer.Option("--method", help="How the density is divided.")
    ] = "voronoi",
    atoms_of: Annotated[
        Path | None,
        typer.Option("--atoms-of", metavar="RUN", help="Hirshfeld's atoms: those that this run's 'atoms' fitted."),
    ] = None,
    unit: options.Unit = None,
) -> None:
    """Print the electrons of each atom, its charge, and the dipole moment.

    voronoi: each point belongs to the nearest atom. hirshfeld: points are shared in proportion to free atoms. bader:
    basins of the density. Crystals, slabs and molecules in a narrow box have no dipole moment, which is a dash.
    """
    density = _opened(file, unit)
    electrons = density.electrons_of_atoms(method, atoms_of=atoms_of)
    dipole = None
    try:
        partial = [f"{round(value, 4) + 0:+.4f}" for value in density.valence - electrons]
        dipole = density.dipole
        if dipole is None:
            typer.secho(f"Note: {NO_DIPOLE}.", err=True)
    except DataError as error:
        typer.secho(f"Note: {error}.", err=True)
        partial = ["–"] * len(electrons)
    typer.echo(f"{'atom':>6}  {'':<3} {'electrons':>10} {'charge (e)':>11}")
    for number, (site, count, value) in enumerate(zip(density.structure, electrons, partial, strict=True), start=1):
        typer.echo(f"{number:>6}  {site.specie.symbol:<3} {count:>10.4f} {value:>11}")
    moment = "–" if dipole is None else " ".join(f"{round(value, 4) + 0:.4f}" for value in dipole) + " e·Å"
    typer.echo(f"dipole: {moment}")


def _opened(file: Path, unit: str | None) -> Density:
    from edframe.api.reading import read

    density = read(file, unit=unit)
    typer.echo(f"{file}: {density.electrons:.6g} electrons in {density.structure.formula}")
    for note in density.notes:
        typer.secho(f"Note: {file}: {note}.", err=True)
    return density

"""``edframe show`` and ``edframe charges``: a density to look at, and its electrons by atom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edframe.cli import options
from edframe.errors import ConfigError, DataError

if TYPE_CHECKING:
    from edframe.api.density import Density

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE [REFERENCE]", help="CHGCAR…, ….cube, ….xsf, …; two: their difference, too."),
]


def show(
    files: Files,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="….png or ….html; default: beside the density, as PNG.")
    ] = None,
    unit: options.Unit = None,
    force: options.Force = False,
) -> None:
    """Draw a density, as a picture of the plane through its atoms or as a page with a surface to turn.

    Of two files, both are drawn, and the first minus the second; the metrics of the report are printed.

    Examples:

      edframe show CHGCAR

      edframe show CHGCAR --out density.html

      edframe show predicted.cube reference.cube
    """
    if len(files) > 2:
        raise ConfigError(f"give one file, or two to compare, not {len(files)}")
    target = out or files[0].with_name(f"{files[0].name}.png")
    if target.suffix.lower() not in (".png", ".html"):
        raise ConfigError(f"--out {target}: its name must end in .png or .html")
    options.refuse_to_overwrite([target], force)
    densities = [_opened(file, unit) for file in files]
    if len(densities) == 2:
        from edframe.api.comparing import compare
        from edframe.metrics.standard import units
        from edframe.report.numbers import number

        named = units()
        for name, value in compare(*densities).items():
            typer.echo(f"{name:<22} {number(value, 3)} {named[name]}")
    if target.suffix.lower() == ".png":
        from edframe.io.files import replacing
        from edframe.report.style import png

        image = png(densities[0].plot(densities[1] if len(densities) == 2 else None))
        with replacing(target) as file:
            file.write(image)
    else:
        if len(densities) == 2:
            raise ConfigError(f"--out {target}: a page holds one density; give one file, or a name that ends in .png")
        from edframe.io.files import replacing

        text = densities[0].isosurface().to_html(include_plotlyjs=True, full_html=True)
        with replacing(target) as file:
            file.write(text.encode())
    typer.echo(target)


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
    basins of the density. Crystals and slabs have no dipole moment, which is a dash.
    """
    density = _opened(file, unit)
    electrons = density.electrons_of_atoms(method, atoms_of=atoms_of)
    dipole = None
    try:
        partial = [f"{round(value, 4) + 0:+.4f}" for value in density.valence - electrons]
        dipole = density.dipole
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

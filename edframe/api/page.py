"""A density as a page: surfaces to turn, the plane through its atoms, and metrics where there is a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edframe.report.numbers import number
from edframe.report.page import NAMES, Picture, environment

if TYPE_CHECKING:
    from edframe.api.density import Density


def page(
    title: str,
    density: Density,
    reference: Density | None,
    metrics: Mapping[str, tuple[float, str]],
    pictures: Sequence[Picture],
) -> str:
    """The page as one HTML text that needs no other file.

    metrics: value and unit by name, of the density against the reference.
    """
    from edframe.api.isosurface import surfaces
    from edframe.report.scenes import scripts

    texts, policy = scripts()
    scene = surfaces(density, reference)
    notes = list(dict.fromkeys(note for one in (density, reference) if one is not None for note in one.notes))
    return environment("edframe.api").get_template("template.html").render(
        title=title,
        facts=_facts(density),
        notes=notes,
        metrics=[(NAMES.get(name, name), number(value), unit) for name, (value, unit) in metrics.items()],
        scene=scene,
        pictures=pictures,
        scripts=texts,
        policy=policy,
    )  # fmt: skip


def _facts(density: Density) -> list[tuple[str, str]]:
    grid = density.grid
    spacing = ", ".join(f"{step:.3f}" for step in grid.spacing)
    facts = [
        ("atoms", f"{density.structure.formula} ({len(density.structure)})"),
        ("electrons", f"{density.electrons:.6g}"),
        ("grid", "×".join(map(str, grid.shape)) + f" points, {spacing} Å apart"),
    ]
    if density.magnetisation is not None:
        facts.append(("magnetisation", f"{float(density.magnetisation.sum() * grid.voxel_volume):.4g}"))
    return facts

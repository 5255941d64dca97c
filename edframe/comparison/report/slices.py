"""Figures of the examples: the reference density in a plane, and what each variant adds to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edframe.comparison.report.examples import Example
from edframe.comparison.report.looks import Look, abreast, short
from edframe.report import densities
from edframe.report.numbers import number
from edframe.report.page import Picture
from edframe.report.slices import Plane, through_atoms
from edframe.report.style import styled

ABREAST = 3
"""Variants beside the reference in one figure; more go to the next, on the same scale."""


def slices(examples: Sequence[Example], looks: Mapping[str, Look]) -> list[Picture]:
    """For each example the reference density, then prediction − reference of each variant on one scale."""
    return [
        picture for index, example in enumerate(examples) for picture in _slices(example, looks, f"example-{index + 1}")
    ]


def _slices(example: Example, looks: Mapping[str, Look], name: str) -> list[Picture]:
    plane = through_atoms(example.positions, example.grid)
    variants = list(example.predicted)
    flat = example.grid.dimension == 1
    most = len(variants) if flat else abreast(len(variants), ABREAST)
    parts = [variants[i : i + most] for i in range(0, len(variants), most)]
    with styled():
        images = [_lines(example, plane, looks)] if flat else [_maps(example, plane, part, most) for part in parts]
    errors = ", ".join(f"{variant} {number(error)} %" for variant, error in example.nmae.items())
    text = f"{example.id}; NMAE: {errors}."
    text += f" {plane.title[0].upper()}{plane.title[1:]}." if plane.title else ""
    return [
        Picture(
            f"{name}-{place + 1}", image,
            densities.described(example.species, example.grid, f"reference, and the errors of {', '.join(part)}"),
            text if place == 0 else f"{example.id}, continued, on the same scale.",
        )
        for place, (image, part) in enumerate(zip(images, parts, strict=True))
    ]  # fmt: skip


def _maps(example: Example, plane: Plane, variants: Sequence[str], most: int) -> bytes:
    errors = {variant: field - example.reference for variant, field in example.predicted.items()}
    limit = max(float(np.abs(plane.cut(field)).max()) for field in errors.values()) or 1e-12
    shown = {f"error of {short(variant, 24)}": errors[variant] for variant in variants}
    return densities.maps(
        plane, example.grid, example.species, {"reference density": example.reference}, shown, limit,
        width=10 * (1 + len(variants)) / (1 + most),
    )  # fmt: skip


def _lines(example: Example, plane: Plane, looks: Mapping[str, Look]) -> bytes:
    curves = [densities.Curve(short(v), field, looks[v].colour) for v, field in example.predicted.items()]
    return densities.lines(plane, example.species, example.reference, curves)

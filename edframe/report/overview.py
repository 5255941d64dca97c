"""A page of many runs: their curves over each other, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edframe.report.page import Picture, environment
from edframe.report.style import BLUE, GREEN, GREY, INK, ORANGE, panels, png, styled
from edframe.runs.listing import validations

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", "--")
NAMED = len(COLOURS) * len(DASHES)
"""Runs with a colour of their own, the first of the table; the others are grey."""


def overview(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    texts: Sequence[Sequence[str]],
    links: Sequence[str | None],
) -> str:
    """The page as HTML that needs no other file but the reports, to which it links.

    rows: of ``edframe.runs.listing``. texts: the cells of the table as they are read, by ``columns``. links: for each
    row where its report is, relative to the page, or nothing.
    """
    picture = curves(rows)
    return environment("edframe.report").get_template("overview.html").render(
        title=title, columns=columns, rows=list(zip(texts, links, strict=True)), picture=picture
    )  # fmt: skip


def curves(rows: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Validation NMAE of all runs against steps and seconds; None where none was validated during training."""
    from edframe.report.curves import logarithmic_where_wide

    drawn = [(number, row, validations(row["path"])) for number, row in enumerate(rows, start=1)]
    drawn = [(number, row, events) for number, row, events in drawn if len(events) > 1]
    if not drawn:
        return None
    with styled():
        figure, axes = panels(2, 10, 4.2)
        for place, (number, row, events) in reversed(list(enumerate(drawn))):
            own = place < NAMED
            colour = COLOURS[place % 7] if own else GREY
            label = f"{number}: {row['model']}, {row['loss']}, seed {row['seed']}" if own else None
            errors = [event.nmae for event in events]
            for ax, x in zip(axes, ([e.step for e in events], [e.seconds for e in events]), strict=True):
                ax.plot(x, errors, DASHES[place // 7] if own else "-", color=colour, linewidth=1.5 if own else 0.8,
                        alpha=1.0 if own else 0.5, label=label)  # fmt: skip
        every = np.array([event.nmae for _, _, events in drawn for event in events])
        for ax, name in zip(axes, ("step", "time (s)"), strict=True):
            ax.set(xlabel=name, xlim=(0, None))
            logarithmic_where_wide(ax, every)
        axes[0].set_ylabel("validation NMAE (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=3)
        image = png(figure)
    text = "NMAE on the validation samples during training, left against optimiser steps, right against seconds; by "
    text += "their number in the table."
    if len(drawn) > NAMED:
        text += f" Grey: the {len(drawn) - NAMED} runs after the first {NAMED}."
    if len(drawn) < len(rows):
        text += f" Without a curve: {len(rows) - len(drawn)}."
    return Picture("curves", image, "Validation error of all runs against steps and time", text)

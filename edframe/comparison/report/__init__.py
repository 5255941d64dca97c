"""The report of a comparison: one self-contained page, and its numbers for other programs and for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edframe.comparison.outcome import Outcome
    from edframe.comparison.statistics import Effect
    from edframe.contract.registry import Registry

__all__ = ["write"]


def write(
    folder: Path,
    title: str,
    outcomes: Sequence[Outcome],
    effects: Sequence[Effect],
    axis: str,
    reference: str,
    command: str,
    declared: str,
    registry: Registry,
) -> Path:
    """Write ``compare.html``, ``.csv``, ``.tex`` and, with pyarrow, ``.parquet`` in ``folder``; return the page's path.

    effects: those of ``outcomes`` against ``reference``, the variant that the others are held against. axis: the key
    that was compared, e.g. "loss". command: that repeats the comparison. declared: what was asked for, as YAML. The
    densities of a few test samples are predicted again with the weights of the runs. Raises RunError when a run has
    lost its files, DataError when the folder cannot be written; the page is written last, so one that is new has all
    its files beside it.
    """
    from edframe.comparison.report.page import build  # matplotlib, plotly and torch are imported only now

    return build(folder, title, outcomes, effects, axis, reference, command, declared, registry)

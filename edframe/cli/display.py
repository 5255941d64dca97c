"""What a person sees while a run goes on: progress, events worth a line, the summary table."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from edframe.cli.progress import Lines
from edframe.metrics.convergence import in_one_sentence
from edframe.runs.events import (
    Event,
    FeaturizerFit,
    Fit,
    Progress,
    Remark,
    Results,
    Step,
    Timing,
    Unconverged,
    Validation,
)

if TYPE_CHECKING:
    from edframe.config.experiment import Experiment


class Display:
    """Turns the events of a run into a live progress bar on a terminal, and into plain lines elsewhere."""

    def __init__(self, experiment: Experiment, path: Path, *, quiet: bool = False) -> None:
        self._experiment = experiment
        self._path = path
        self._console = Console(quiet=quiet, highlight=False)
        self._progress = Bars(
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, Lines] = {}
        self._loss: float | None = None

    def __enter__(self) -> Display:
        e = self._experiment
        parts = " · ".join(choice.name for choice in (e.data, e.featurizer, e.model, e.loss))
        self._console.print(f"[bold]{parts}[/bold]  →  {escape(str(self._path))}", soft_wrap=True)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event | Progress) -> None:
        """Show one event of the run."""
        match event:
            case Progress():
                self._advance(event.what, event.done, event.total)
            case Step():
                self._loss = event.loss if self._loss is None else 0.95 * self._loss + 0.05 * event.loss
                self._advance("training", event.step, self._experiment.training.steps, f"loss {self._loss:.3g}")
            case Fit() | FeaturizerFit():
                numbers = ", ".join(f"{name} {value:.3g}" for name, value in event.found.items())
                who = "featurizer " if isinstance(event, FeaturizerFit) else ""
                self._console.print(f"{who}fitted to {event.samples} samples: {numbers or 'done'}", soft_wrap=True)
            case Validation():
                reached = f"step {event.step:>6}  loss {self._loss:.3g}  " if self._loss is not None else ""
                self._console.print(f"{reached}validation NMAE {event.nmae:.2f}%  {event.seconds:.0f} s")
            case Timing() if "fit" in event.parts:
                parts = ", ".join(f"{part} {event.parts[part]:.1f}" for part in ("data", "fit", "validation"))
                self._console.print(f"seconds: {parts}")
            case Timing():
                means = {part: 1e3 * seconds / max(1, event.steps) for part, seconds in event.parts.items()}
                parts = ", ".join(f"{part} {means[part]:.0f}" for part in ("data", "forward", "loss", "backward"))
                self._console.print(f"ms per step: {parts}")
            case Unconverged():
                sentence = in_one_sentence(event, self._experiment.loss.name)
                self._console.print(f"[yellow]Warning:[/yellow] {escape(sentence)}", soft_wrap=True)
            case Remark():
                self._console.print(f"[yellow]Warning:[/yellow] {escape(event.sentence)}", soft_wrap=True)
            case Results():
                self._summary(event)

    def reported(self, page: Path) -> None:
        """Say where the report is, which is written."""
        self._console.print(f"report: {escape(str(page))}", soft_wrap=True)

    def stopped(self, stop: BaseException) -> None:
        """Say how to go on after Ctrl-C."""
        self._progress.stop()
        how = f"edframe run --resume {shlex.quote(str(self._path))}"
        self._console.print(
            f"{str(stop).capitalize() or 'Stopped'}. Continue with: {how}", soft_wrap=True, markup=False
        )

    def _advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, detail=detail)
            if not self._console.is_terminal:
                self._console.print(f"{what}: {total}")
                self._lines[what] = Lines(what)
        self._progress.update(self._tasks[what], completed=done, detail=detail)
        if what in self._lines and done < total and (line := self._lines[what].line(done, total, detail)):
            self._console.print(line, soft_wrap=True, markup=False)

    def _summary(self, results: Results) -> None:
        self._progress.stop()
        splits = self._experiment.splits
        which = f"fold {splits.fold}" if splits.test is None else f"'{splits.test}', trained on fold {splits.fold}"
        title = f"{results.samples} test samples of {which}"
        table = Table(title=title, box=None, pad_edge=False, padding=(0, 2, 0, 0))  # fits in 80 columns
        for heading in ("metric", "unit", "mean", "95% interval", "median", "max"):
            table.add_column(heading, justify="left" if heading in ("metric", "unit") else "right", no_wrap=True)
        for name, row in results.metrics.items():
            interval = or_dash(row.low) if math.isnan(row.low) else f"{row.low:.3g} – {row.high:.3g}"
            table.add_row(name, row.unit, or_dash(row.mean), interval, or_dash(row.median), or_dash(row.max))
        self._console.print(table)


def or_dash(value: float) -> str:
    """Three digits; a dash for what is not defined."""
    return "–" if math.isnan(value) else f"{value:.3g}"

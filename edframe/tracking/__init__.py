"""Trackers: the events of a run, passed on to TensorBoard or MLflow while they are logged. Extras, offline by default.

metrics.jsonl stays the record of a run. A tracker is a view of it, and one that fails is left out of the rest.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from edframe.config.leaves import leaves
from edframe.contract.registry import suggest
from edframe.errors import ConfigError, missing
from edframe.runs.directory import Run
from edframe.runs.events import (
    Event,
    Fit,
    Progress,
    Results,
    Show,
    Step,
    Timing,
    Unconverged,
    Validation,
    step_of,
    to_dict,
)

TRACKERS = {"tensorboard": "TensorBoard", "mlflow": "MLflow"}
"""Names for ``--track``, each also that of a module here and of the package it needs; and the class in the module."""

GROUPS: dict[type[Any], str] = {Step: "training", Validation: "validation", Timing: "timing", Fit: "fit"}
"""Events whose numbers are tracked as they are, and what their names begin with."""


class Tracker(Protocol):
    """One tracker, opened for a run by ``factory(run, parameters)``; ``parameters`` as by ``parameters_of``.

    It may have been opened for the run before: then ``log`` gets again what a former session has logged.
    """

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep ``numbers`` by name at ``step``, each once."""

    def close(self, status: str) -> None:
        """Write what is left. status: of the run, as in provenance.json."""


def require(names: Iterable[str]) -> None:
    """Raises ConfigError for an unknown tracker, MissingError for one whose packages are not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--track: there is no tracker '{name}'{suggest(name, TRACKERS)}")
        local = name == "mlflow" and not os.environ.get("MLFLOW_TRACKING_URI")  # only then is there a database to make
        for package in (name, "sqlalchemy", "alembic") if local else (name,):
            if find_spec(package) is None:
                raise missing(package, "track", f"--track {name}")


@contextmanager
def opened(names: Iterable[str], run: Run, start_step: int) -> Iterator[Show]:
    """While open, a function that passes an event of ``run`` to each tracker of ``names``.

    The events up to ``start_step``, from which a run is continued, are passed on first: trackers that have them keep
    one of each. One that fails, now or later, is left out of the rest with a warning on stderr. Raises as ``require``.
    """
    names = tuple(dict.fromkeys(names))
    require(names)
    trackers: dict[str, Tracker] = {}
    last = 0

    @contextmanager
    def leaving_out(name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of whatever kind: the run is worth more
            trackers.pop(name, None)
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            print(
                f"Warning: {name} failed and tracks this run no further ({reason}); the run continues, and its "
                f"metrics.jsonl has every number.",
                file=sys.stderr,
                flush=True,
            )

    def track(event: Event | Progress) -> None:
        nonlocal last
        last = step_of(event) or last
        if numbers := scalars(event):
            for name, tracker in tuple(trackers.items()):
                with leaving_out(name):
                    tracker.log(numbers, last)

    parameters = parameters_of(run.config()) if names else {}
    for name in names:
        with leaving_out(name):
            factory = getattr(importlib.import_module(f"{__name__}.{name}"), TRACKERS[name])
            trackers[name] = factory(run, parameters)
    for event in run.events() if names else ():
        if (at := step_of(event)) is not None and at <= start_step:
            track(event)
    try:
        yield track
    finally:
        for name, tracker in tuple(trackers.items()):
            with leaving_out(name):
                tracker.close(run.provenance()["status"])


def scalars(event: Event | Progress) -> dict[str, float]:
    """The numbers of an event by the names they are tracked under; none for an event that is only shown.

    ``training/loss``, ``validation/nmae``; of a summary the means and the ends of their intervals, ``test/nmae``,
    ``test/nmae.low`` and ``test/nmae.high``.
    """
    if isinstance(event, Results):
        ends = {"": "mean", ".low": "low", ".high": "high"}
        rows = event.metrics.items()
        return {f"test/{name}{end}": getattr(row, key) for name, row in rows for end, key in ends.items()}
    if isinstance(event, Unconverged):
        return {f"unconverged/{event.during}.{event.diagnostic}": event.count}
    if type(event) not in GROUPS:
        return {}
    numbers = to_dict(event)
    return {
        f"{GROUPS[type(event)]}/{name}": value
        for name, value in (numbers | numbers.get("found", {})).items()
        if name != "step" and isinstance(value, int | float)
    }


def parameters_of(tree: Mapping[str, Any]) -> dict[str, str | float]:
    """The leaves of a configuration by dotted keys; numbers and text as they are, all else as JSON."""
    plain = (str, int, float)
    return {key: value if type(value) in plain else json.dumps(value) for key, value in leaves(tree)}

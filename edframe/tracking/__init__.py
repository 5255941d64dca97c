"""Trackers: the events of a run, passed on to TensorBoard or MLflow while they are logged. Extras, offline by default.

metrics.jsonl stays the record of a run. A tracker is a view of it, and one that fails is left out of the rest.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from edframe.contract.registry import suggest
from edframe.errors import ConfigError, PluginError
from edframe.run.directory import Run

TRACKERS = {"tensorboard": "TensorBoard", "mlflow": "MLflow"}
"""Names for ``--track``, each also that of a module here and of the package it needs; and the class in the module."""

GROUPS = {"step": "training", "validation": "validation", "timing": "timing", "fit": "fit"}
"""Events whose numbers are tracked as they are, and what their names begin with."""


class Tracker(Protocol):
    """One tracker, opened for a run by ``factory(run, parameters)``; ``parameters`` as by ``flattened``.

    It may have been opened for the run before: then ``log`` gets again what a former session has logged.
    """

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep ``numbers`` by name at ``step``, each once."""

    def close(self, status: str) -> None:
        """Write what is left. status: of the run, as in provenance.json."""


def require(names: Iterable[str]) -> None:
    """Raises ConfigError for an unknown tracker, PluginError for one whose packages are not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--track: there is no tracker '{name}'{suggest(name, TRACKERS)}")
        local = name == "mlflow" and not os.environ.get("MLFLOW_TRACKING_URI")  # only then is there a database to make
        for package in (name, "sqlalchemy", "alembic") if local else (name,):
            if find_spec(package) is None:
                raise PluginError(
                    f"--track {name} needs the package {package}, which is not installed; install it by "
                    f"`pip install 'edframe[track]'`"
                )


@contextmanager
def opened(names: Iterable[str], run: Run, start_step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
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
                f"Warning: {name} failed and tracks this run no further ({reason}); the run goes on, and its "
                f"metrics.jsonl has every number.",
                file=sys.stderr,
                flush=True,
            )

    def track(event: Mapping[str, Any]) -> None:
        nonlocal last
        last = event.get("step", last)
        if numbers := scalars(event):
            for name, tracker in tuple(trackers.items()):
                with leaving_out(name):
                    tracker.log(numbers, last)

    parameters = flattened(run.config()) if names else {}
    for name in names:
        with leaving_out(name):
            factory = getattr(importlib.import_module(f"{__name__}.{name}"), TRACKERS[name])
            trackers[name] = factory(run, parameters)
    for event in run.events() if names else ():
        if event.get("step", math.inf) <= start_step:
            track(event)
    try:
        yield track
    finally:
        for name, tracker in tuple(trackers.items()):
            with leaving_out(name):
                tracker.close(run.provenance()["status"])


def scalars(event: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event by the names they are tracked under; none for an event that is only shown.

    ``training/loss``, ``validation/nmae``; of a summary the means and the ends of their intervals, ``test/nmae``,
    ``test/nmae.low`` and ``test/nmae.high``.
    """
    kind = event["event"]
    if kind == "summary":
        ends = {"": "mean", ".low": "low", ".high": "high"}
        rows = event["metrics"].items()
        return {f"test/{name}{end}": row[key] for name, row in rows for end, key in ends.items()}
    if kind == "unconverged":
        return {f"unconverged/{event['during']}.{event['diagnostic']}": event["count"]}
    if kind not in GROUPS:
        return {}
    numbers = {**event, **event.get("found", {})}
    return {
        f"{GROUPS[kind]}/{name}": value
        for name, value in numbers.items()
        if name != "step" and isinstance(value, int | float)
    }


def flattened(tree: Mapping[str, Any], path: str = "") -> dict[str, str | float]:
    """The leaves of a configuration by dotted keys; numbers and text as they are, all else as JSON."""
    leaves: dict[str, str | float] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flattened(value, f"{path}{key}.")
        else:
            leaves[f"{path}{key}"] = value if type(value) in (str, int, float) else json.dumps(value)
    return leaves

"""What happens in a run, as typed records: each is shown during the run, and all but progress are saved as lines of
metrics.jsonl, one JSON object each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edframe.errors import RunError


@dataclass(frozen=True)
class Step:
    """One optimiser step, from 1: the mean loss of its batch before the step, in the unit of the loss.

    seconds: of training until then. diagnostics: of the loss, by name, the mean over the batch.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    diagnostics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """Means over the validation samples after ``step``: the NMAE in %, and the loss that is trained on, in its unit.

    loss: None in runs that were made before it was logged. seconds: of training until then.
    """

    step: int
    nmae: float
    seconds: float
    loss: float | None = None


@dataclass(frozen=True)
class Fit:
    """A model in closed form was fitted to ``samples`` samples in ``seconds``, and found these numbers."""

    step: int
    samples: int
    seconds: float
    found: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FeaturizerFit:
    """A featurizer was fitted to ``samples`` samples in ``seconds``, before step 1, and found these numbers."""

    samples: int
    seconds: float
    found: Mapping[str, float] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True)
class Timing:
    """Where the time of the last ``steps`` steps went: seconds of each part. peak_memory: in bytes, where known."""

    step: int
    steps: int
    parts: Mapping[str, float]
    peak_memory: int | None = None


@dataclass(frozen=True)
class Unconverged:
    """``count`` solves out of ``of`` did not converge, by the diagnostic of that name; during: training, evaluation."""

    during: str
    diagnostic: str
    count: int
    of: int
    step: int | None = None


@dataclass(frozen=True)
class Remark:
    """What is less exact than it could be in a run, in a sentence without a full stop; from ``step`` on."""

    step: int
    sentence: str


@dataclass(frozen=True)
class Evaluated:
    """One test sample: its metrics by name, and the diagnostics of the losses, each after the loss's name and a dot.

    group: see ``Dataset.groups``; None in runs that were made before it was logged.
    """

    id: str
    metrics: Mapping[str, float]
    group: int | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric over the test samples; ``low`` and ``high`` bound the mean with 95% confidence, nan: not known."""

    unit: str
    mean: float
    median: float
    max: float
    low: float
    high: float


@dataclass(frozen=True)
class Results:
    """All metrics over the test samples, by name."""

    samples: int
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` pieces of some work are done. Shown, not saved."""

    what: str
    done: int
    total: int


Event = Step | Validation | Fit | FeaturizerFit | Timing | Unconverged | Remark | Evaluated | Results
"""What is saved."""

Show = Callable[[Event | Progress], None]
"""What is given every event during the run."""

KINDS: dict[str, type[Event]] = {
    "step": Step,
    "validation": Validation,
    "fit": Fit,
    "featurizer": FeaturizerFit,
    "timing": Timing,
    "unconverged": Unconverged,
    "remark": Remark,
    "sample": Evaluated,
    "summary": Results,
}
"""The value of the key ``event`` in a line of each."""

BESIDE: dict[type[Any], str] = {Step: "diagnostics", Timing: "parts", Evaluated: "metrics"}
"""The mapping whose entries are in a line beside the other fields, rather than in a mapping of their own."""

RESERVED = frozenset({"event"} | {entry.name for kind in (Step, Evaluated) for entry in fields(kind)})
"""Names that a diagnostic or a metric cannot have, because they have a meaning in a line."""


def step_of(event: Event | Progress) -> int | None:
    """The training step that an event belongs to; None for what comes after training."""
    step: int | None = getattr(event, "step", None)
    return step


def to_dict(event: Event | Progress) -> dict[str, Any]:
    """An event as plain data, as it is in its line; what is empty or not known is left out."""
    kind = next((name for name, cls in KINDS.items() if cls is type(event)), "progress")
    values = {entry.name: _plain(getattr(event, entry.name)) for entry in fields(event) if not _left_out(event, entry)}
    beside = values.pop(BESIDE.get(type(event), ""), {})
    return {"event": kind, **beside, **values}


def from_dict(values: Mapping[str, Any]) -> Event:
    """The event of a line. Raises ValueError, whose text continues "this line …", for what is not an event."""
    kind = values.get("event")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"has the event {kind!r}, which this edframe does not know")
    cls: type[Any] = KINDS[kind]
    own = {entry.name for entry in fields(cls)}
    rest = {key: value for key, value in values.items() if key != "event"}
    if cls in BESIDE:
        beside = {key: rest.pop(key) for key in list(rest) if key not in own or key == BESIDE[cls]}
        rest[BESIDE[cls]] = beside
    try:
        event: Event = _reader(kind).validate_python(rest)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"].startswith("missing"):
            raise ValueError(f"is a {kind} event without '{key}'") from error
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise ValueError(f"is a {kind} event whose '{key}' is {problem['input']!r}: {message}") from error
    return event


def to_lines(events: Iterable[Event]) -> str:
    """Lines of metrics.jsonl."""
    return "".join(json.dumps(to_dict(event)) + "\n" for event in events)


def read(file: Path) -> list[Event]:
    """All events of a metrics.jsonl; a last line that was cut short by a kill is left out.

    Raises RunError that names the line when another one is damaged, OSError when the file cannot be read.
    """
    text = file.read_text(encoding="utf-8")
    events = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            events.append(from_dict(_object(line)))
        except ValueError as error:
            if number == len(lines) and not text.endswith("\n"):
                break
            raise RunError(f"{file}, line {number}, {error}; remove or fix that line") from error
    return events


def _left_out(event: Event | Progress, entry: Field[Any]) -> bool:
    value = getattr(event, entry.name)
    return (entry.default is None and value is None) or (entry.default_factory is dict and not value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return asdict(value) if isinstance(value, Metric) else value


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise ValueError(f"holds {type(value).__name__}, not a JSON object")
    return value


@cache
def _reader(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])

"""A run directory, read for its report. NumPy only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from edframe.errors import EdframeError, RunError
from edframe.grid import Grid
from edframe.metrics.standard import UNITS
from edframe.runs.events import Evaluated, Fit, Metric, Remark, Results, Step, Unconverged, Validation, read
from edframe.runs.tensors import check

ROLES = {"worst": 0, "median": 1, "best": 2}
"""Order in which saved samples are shown."""


@dataclass(frozen=True)
class Prediction:
    """One saved test sample. Densities ``[s, x, y, z]`` in e/Å^d; positions ``[atom, d]`` in Å."""

    id: str
    role: str
    grid: Grid
    species: tuple[str, ...]
    positions: NDArray[np.float64]
    electrons: float
    nmae: float
    predicted: NDArray[np.float32]
    reference: NDArray[np.float32]
    baseline: NDArray[np.float32] | None


@dataclass(frozen=True)
class RunFiles:
    """Everything a report shows; of a step or sample that was logged again, the last event."""

    directory: Path
    config_text: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    steps: Sequence[Step]
    fit: Fit | None
    validations: Sequence[Validation]
    samples: Sequence[Evaluated]
    summary: Mapping[str, Metric]
    unconverged: Sequence[Unconverged]
    remarks: Sequence[Remark]
    predictions: Sequence[Prediction]

    @property
    def references(self) -> list[str]:
        """BibTeX entries without repetition, in order."""
        entries = self.provenance.get("references") or []
        return list(dict.fromkeys(str(entry).strip() for entry in entries))


def read_run(directory: Path) -> RunFiles:
    """Read a run directory. Raises RunError with one sentence that names the file and what is wrong with it."""
    config_text = _text(directory / "config.yaml")
    try:
        config = yaml.safe_load(config_text)
    except yaml.YAMLError as error:
        raise RunError(f"{directory / 'config.yaml'} is not YAML: {' '.join(str(error).split())}") from error
    provenance_file = directory / "provenance.json"
    provenance = _json(_text(provenance_file), str(provenance_file)) if provenance_file.exists() else {}
    log = directory / "metrics.jsonl"
    _text(log)  # where it cannot be read, it says what a report needs
    events = read(log)
    steps = {event.step: event for event in events if isinstance(event, Step)}
    validations = {event.step: event for event in events if isinstance(event, Validation)}
    samples = list({event.id: event for event in events if isinstance(event, Evaluated)}.values())
    results = [event for event in events if isinstance(event, Results)]
    return RunFiles(
        directory=directory,
        config_text=config_text,
        config=config if isinstance(config, Mapping) else {},
        provenance=provenance,
        steps=[steps[step] for step in sorted(steps)],
        fit=next((event for event in reversed(events) if isinstance(event, Fit)), None),
        validations=[validations[step] for step in sorted(validations)],
        samples=samples,
        summary=results[-1].metrics if results else _summarise(samples),
        unconverged=[event for event in events if isinstance(event, Unconverged)],
        remarks=[event for event in events if isinstance(event, Remark)],
        predictions=[_prediction(file) for file in sorted((directory / "predictions").glob("*.safetensors"))],
    )


def column(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Values as an array, nan where there is none."""
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise RunError(f"{file} {reason}: a report needs the directory of a run, as `edframe run` makes it") from error


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(f"{where} is not JSON ({error.msg}): it was cut off or edited; resume the run") from error
    if not isinstance(value, dict):
        raise RunError(f"{where} holds {type(value).__name__}, not a JSON object")
    return value


def _summarise(samples: Sequence[Evaluated]) -> dict[str, Metric]:
    """The metrics of a run that was stopped before it wrote their summary; without intervals."""
    names = dict.fromkeys(name for sample in samples for name in sample.metrics)
    return {name: _central(name, column(sample.metrics.get(name) for sample in samples)) for name in names}


def _central(name: str, values: NDArray[np.float64]) -> Metric:
    values = values[np.isfinite(values)]
    mean, median, largest = (
        float(statistic(values)) if len(values) else math.nan for statistic in (np.mean, np.median, np.max)
    )
    return Metric(UNITS.get(name.removeprefix("baseline_"), ""), mean, median, largest, low=math.nan, high=math.nan)


def _positions(rows: list[list[float]], dimension: int) -> NDArray[np.float64]:
    """``[atom, d]``; a structure has three coordinates also where its grid has fewer axes."""
    return np.array(rows, dtype=float).reshape(len(rows), -1)[:, :dimension] if rows else np.empty((0, dimension))


def _prediction(file: Path) -> Prediction:
    from safetensors import SafetensorError, safe_open

    try:
        check(file)
        with safe_open(file, framework="numpy") as stored:
            about = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        grid = Grid.of(**json.loads(about["grid"]))
        prediction = Prediction(
            id=about["id"],
            role=about.get("role", ""),
            grid=grid,
            species=tuple(json.loads(about["species"])),
            positions=_positions(json.loads(about["positions"]), grid.dimension),
            electrons=float(about.get("electrons", "nan")),
            nmae=float(about.get("nmae", "nan")),
            predicted=tensors["predicted"],
            reference=tensors["reference"],
            baseline=tensors.get("baseline"),
        )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, EdframeError) as error:
        raise RunError(f"{file} is not a prediction of edframe ({type(error).__name__}: {error})") from error
    for name, tensor in tensors.items():
        if tensor.shape[1:] != grid.shape:
            raise RunError(f"{file}: '{name}' has shape {tensor.shape} on a grid of shape {grid.shape}")
    return prediction

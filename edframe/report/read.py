"""A run directory, read for its report. NumPy only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from edframe.errors import EdframeError, RunError
from edframe.grid import Grid
from edframe.metrics.standard import DESCRIPTIONS, UNITS

ROLES = {"worst": 0, "median": 1, "best": 2}
"""Order in which kept samples are shown."""


@dataclass(frozen=True)
class Prediction:
    """One kept test sample. Densities ``[s, x, y, z]`` in e/Å^d; positions ``[atom, d]`` in Å."""

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
    """Everything a report shows; events as in ``metrics.jsonl``, of a repeated step or sample the last."""

    directory: Path
    config_text: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    fit: Mapping[str, Any] | None
    validations: Sequence[Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Mapping[str, Any]]
    unconverged: Sequence[Mapping[str, Any]]
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
    events = _events(directory / "metrics.jsonl")
    samples = _last_of_each(events, "sample", "id")
    summaries = [event for event in events if event["event"] == "summary"]
    return RunFiles(
        directory=directory,
        config_text=config_text,
        config=config if isinstance(config, Mapping) else {},
        provenance=provenance,
        steps=_last_of_each(events, "step", "step"),
        fit=next((event for event in reversed(events) if event["event"] == "fit"), None),
        validations=_last_of_each(events, "validation", "step"),
        samples=samples,
        summary=summaries[-1].get("metrics", {}) if summaries else _summarise(samples),
        unconverged=[event for event in events if event["event"] == "unconverged"],
        predictions=[_prediction(file) for file in sorted((directory / "predictions").glob("*.safetensors"))],
    )


def column(events: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One key of all events, ``[event]``; nan where it is absent or not a number."""
    values = [event.get(key) for event in events]
    return np.array([float(v) if isinstance(v, int | float) else math.nan for v in values], dtype=float)


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


def _events(file: Path) -> list[dict[str, Any]]:
    events = []
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if line.strip():
            event = _json(line, f"{file}, line {number},")
            needed = {"step": "step", "validation": "step", "sample": "id"}.get(event.setdefault("event", ""))
            if needed and needed not in event:
                raise RunError(f"{file}, line {number}, is a {event['event']} event without '{needed}'")
            events.append(event)
    return events


def _last_of_each(events: Sequence[dict[str, Any]], kind: str, key: str) -> list[dict[str, Any]]:
    """Events of one kind; a resumed run repeats the steps after its checkpoint, and only the last pass counts."""
    found = {event[key]: event for event in events if event["event"] == kind}
    return [found[value] for value in sorted(found)] if key == "step" else list(found.values())


def _summarise(samples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The summary of a run that was stopped before it wrote its own; without intervals, for which samples belong
    together (and so count as one draw) is not recorded."""
    names = dict.fromkeys(k for s in samples for k, v in s.items() if isinstance(v, int | float))
    return {
        name: {"unit": UNITS.get(name.removeprefix("baseline_"), ""), **_central(column(samples, name))}
        for name in names
        if name.removeprefix("baseline_") in DESCRIPTIONS or not name.startswith("baseline_")
    }


def _central(values: NDArray[np.float64]) -> dict[str, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    return {"mean": float(values.mean()), "median": float(np.median(values)), "max": float(values.max())}


def _positions(rows: list[list[float]], dimension: int) -> NDArray[np.float64]:
    """``[atom, d]``; a structure keeps three coordinates also where its grid has fewer axes."""
    return np.array(rows, dtype=float).reshape(len(rows), -1)[:, :dimension] if rows else np.empty((0, dimension))


def _prediction(file: Path) -> Prediction:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            about = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        grid = Grid.of(**json.loads(about["grid"]))
        found = Prediction(
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
    return found

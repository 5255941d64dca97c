"""The page of a comparison: its runs put into tables, sentences and figures, and written."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edframe.comparison.outcome import Outcome, conditions, frame
from edframe.comparison.report import curves, differences, files
from edframe.comparison.report.examples import Example, examples
from edframe.comparison.report.isosurfaces import VARIANTS, scenes
from edframe.comparison.report.looks import called, condition_label, looks, of_interest
from edframe.comparison.report.rows import columns, rows
from edframe.comparison.report.slices import slices
from edframe.comparison.statistics import Effect
from edframe.contract.registry import Registry
from edframe.errors import DataError
from edframe.io.files import replacing
from edframe.report.numbers import duration, interval, number
from edframe.report.page import Picture, environment
from edframe.report.scenes import scripts
from edframe.runs.directory import Run


def build(
    folder: Path, title: str, outcomes: Sequence[Outcome], effects: Sequence[Effect], axis: str, reference: str,
    command: str, declared: str, registry: Registry,
) -> Path:  # fmt: skip
    """What ``edframe.comparison.report.write`` does."""
    table, long = rows(outcomes, effects, reference), frame(outcomes)
    units = {name: outcomes[0].units[name] for name in columns(outcomes)}
    parquet = files.parquet(long)
    shown = examples(outcomes, reference, registry)
    page = _render(
        title=title,
        axis=axis,
        reference=reference,
        headline=_headline(outcomes, effects, axis, reference),
        keys=list(outcomes[0].condition),
        metrics=_metrics(units),
        rows=table,
        sentences=_sentences(effects, list(units)),
        matrix=_matrix(effects, list(units)),
        pairs=any(effect.pairs > 1 for effect in effects),
        pictures=_pictures(outcomes, effects, reference),
        **_examples(shown, outcomes),
        command=command,
        declared=declared,
        runs=_runs(outcomes, folder),
        versions=_versions(outcomes),
        parquet=parquet is not None,
        without_parquet=files.WITHOUT_PYARROW,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made ({error.strerror or error}); choose another folder") from error
    written = {"compare.csv": files.csv(long), "compare.tex": files.tex(table, units)}
    written |= {} if parquet is None else {"compare.parquet": parquet}
    for name, content in (*written.items(), ("compare.html", page.encode())):  # the page last: it names the others
        with replacing(folder / name) as file:
            file.write(content)
    if parquet is None:
        (folder / "compare.parquet").unlink(missing_ok=True)  # one of an earlier time would say something else
    return folder / "compare.html"


def _render(**values: Any) -> str:
    texts, policy = scripts() if values["scenes"] else ([], "'none'")
    made = environment("edframe.comparison.report")
    made.filters.update(duration=duration, condition_label=condition_label)
    return made.get_template("template.html").render(scripts=texts, policy=policy, most_variants=VARIANTS, **values)


def _headline(outcomes: Sequence[Outcome], effects: Sequence[Effect], axis: str, reference: str) -> str:
    """What the comparison says of the NMAE, in two sentences."""
    variants = list(dict.fromkeys(outcome.variant for outcome in outcomes))
    others = [variant for variant in variants if variant != reference]
    pairs = sorted({effect.pairs for effect in effects})
    several = f"{pairs[0]} to {pairs[-1]}" if len(pairs) > 1 else f"{pairs[0]}" if pairs else "0"
    count = len(conditions(outcomes))
    text = f"{axis}: {_listed(others)} against {reference}, each in {several} pairs of runs"
    text += f" under each of {count} conditions. " if count > 1 else ". "
    errors = [effect for effect in effects if effect.metric == "nmae"]
    claims = [effect for effect in errors if effect.claimed]
    if not claims:
        return f"{text}In NMAE none differs significantly from {reference}."
    if count > 1:
        lower = sum(effect.difference < 0 for effect in claims)
        text += f"Of {len(errors)} differences in NMAE {len(claims)} are significant: "
        return f"{text}{lower} lower than {reference}, {len(claims) - lower} higher."
    ways = [f"{number(100 * abs(e.relative))} % {'lower' if e.difference < 0 else 'higher'}" for e in claims]
    said = [f"{effect.variant} ({way})" for effect, way in zip(claims, ways, strict=True)]
    rest = [effect.variant for effect in errors if not effect.claimed]
    text += f"In NMAE, significantly different from {reference}: {_listed(said)}"
    return f"{text}; not significantly different: {_listed(rest)}." if rest else f"{text}."


def _sentences(effects: Sequence[Effect], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """For each condition the sentences of the metrics of interest: what is claimed, then what is not."""
    named = of_interest(metrics)
    grouped = []
    for condition in dict.fromkeys(effect.condition for effect in effects):
        here = [e for name in named for e in effects if (e.condition, e.metric) == (condition, name)]
        grouped.append(
            {
                "condition": condition_label(condition),
                "claims": [effect.sentence(called(effect.metric)) for effect in here if effect.claimed],
                "others": [effect.sentence(called(effect.metric)) for effect in here if not effect.claimed],
            }
        )
    return grouped


def _matrix(effects: Sequence[Effect], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each condition and variant: how far it is from the reference in each metric of interest, in %."""
    named = of_interest(metrics)
    by_line: dict[tuple[Any, str], dict[str, Effect]] = {}
    for effect in effects:
        by_line.setdefault((effect.condition, effect.variant), {})[effect.metric] = effect
    return [
        {"condition": dict(condition), "variant": variant, "cells": [_cell(line.get(name)) for name in named]}
        for (condition, variant), line in by_line.items()
    ]


def _cell(effect: Effect | None) -> dict[str, str]:
    """way: lower or higher where a difference is claimed, else empty. A dash where no sample has the metric."""
    if effect is None:
        return {"value": "–", "interval": "", "way": ""}
    scale = 100 / effect.reference_mean if effect.reference_mean else math.nan
    value = scale * effect.difference
    return {
        "value": number(value, 2) if value < 0 or not math.isfinite(value) else f"+{number(value, 2)}",
        "interval": interval(scale * effect.low, scale * effect.high),
        "way": "" if not effect.claimed else "lower" if effect.difference < 0 else "higher",
    }


def _metrics(units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Heads of the table; first: whether a metric comes before the costs."""
    named = of_interest(list(units))
    return [
        {"key": key, "name": called(key), "unit": "" if unit == "1" else unit, "first": key in named}
        for key, unit in units.items()
    ]


def _pictures(outcomes: Sequence[Outcome], effects: Sequence[Effect], reference: str) -> dict[str, list[Picture]]:
    every = looks(outcomes)
    return {
        "differences": [p for p in (differences.differences(outcomes, effects, reference, every),) if p],
        "pairs": [p for p in (differences.pairs(outcomes, reference, every),) if p],
        "sizes": curves.sizes(outcomes, every),
        "learning": curves.learning(outcomes, every),
    }


def _examples(shown: Sequence[Example], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    drawn = scenes(shown)
    here = dict.fromkeys(outcome.variant for outcome in outcomes if outcome.condition == outcomes[0].condition)
    absent = {variant for example in shown for variant in here if variant not in example.predicted}
    return {
        "examples": slices(shown, looks(outcomes)),
        "condition": condition_label(outcomes[0].condition),
        "absent": sorted(absent),
        "scenes": drawn,
        "places": max((len(scene["variants"]) for scene in drawn), default=0),
        "flat": any(example.grid.dimension < 3 for example in shown),
        "several": len(here),
    }


def _runs(outcomes: Sequence[Outcome], folder: Path) -> list[dict[str, Any]]:
    """Each run with its directory relative to the page."""
    return [
        {
            "outcome": outcome,
            "directory": Path(os.path.relpath(outcome.run.resolve(), folder.resolve())).as_posix(),
        }
        for outcome in outcomes
    ]


def _versions(outcomes: Sequence[Outcome]) -> list[tuple[str, list[str]]]:
    """What the runs were made with: for each fact its different values, with how many runs where there are several."""
    facts: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        known: Mapping[str, Any] = Run(outcome.run).provenance()
        versions = known.get("versions", {})
        for key, value in (
            ("edframe", versions.get("edframe")),
            ("git commit", known.get("git_commit")),
            ("torch", versions.get("torch")),
            ("device", known.get("device")),
            ("dataset fingerprint", known.get("dataset", {}).get("fingerprint")),
        ):
            values = facts.setdefault(key, {})
            values[str(value or "–")] = values.get(str(value or "–"), 0) + 1
    return [
        (key, [value if len(values) == 1 else f"{value} ({count} runs)" for value, count in values.items()])
        for key, values in facts.items()
    ]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else "nothing"

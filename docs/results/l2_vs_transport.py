"""Runs the study of losses, and writes the tables and figures of ``l2-vs-transport.md``. Finished parts are kept.

python docs/results/l2_vs_transport.py small --workers 2                     `make study-small`
python docs/results/l2_vs_transport.py full --scheduler tcp://host:8786      `make study`, on a cluster or a GPU
python docs/results/l2_vs_transport.py --pages                               tables and figures alone, from the results

The runs are those of ``edframe compare`` with the recipes of ``configs/comparisons``. Added is what a comparison does
not know and no loss is trained on: W₂ itself, and the energy that DFT gives a predicted density without iterating. The
runs of the small study, which holds out a test set, are tested on others of the kind that was trained on, too.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from convex_page import TESTS, interval
from l2_vs_transport_dft import Cycles, energies, joined, spread, with_dft
from l2_vs_transport_figures import errors, gradients, ratios
from l2_vs_transport_tests import TESTED, both
from pages import ROOT, RUNS, compared, edframe, head, put
from plane_page import LEVEL, answer, holm

from edframe.cli.progress import progress
from edframe.comparison.carry_out import carried_out, fingerprints
from edframe.comparison.outcome import Outcome
from edframe.comparison.plan import in_words
from edframe.comparison.statistics import Effect, effects
from edframe.contract.registry import Registry
from edframe.io.files import replacing
from edframe.report.numbers import number

PAGE = Path(__file__).with_name("l2-vs-transport.md")
FIGURES = ROOT / "docs" / "figures"
COMPARISONS = ROOT / "comparisons"
SMALL = "l2-vs-transport-small"
STUDIES = {"small": (SMALL,), "full": ("l2-vs-transport", "l2-vs-transport-clusters")}

METRICS = {
    "nmae": "NMAE", "low_density_nmae": "NMAE where ρ < 0.05 e/Å³", "dipole_error": "dipole", "w2": "W₂",
    "basin_error": "electrons per atom", "coulomb_error": "coulomb", "energy_error": "energy",
}  # fmt: skip
"""Columns of the tables. The last five are trained on by nothing but, as a square, the transport losses (W₂)."""
PRIMARY = ("dipole_error", "w2", "low_density_nmae", "energy_error")
"""The questions of the small study, of ``MIX`` against the reference under the condition ``ASKED``."""
MIX, ASKED = "l1 + sinkhorn", {"training.size": "25", TESTED: TESTS["inner"]}


def answers(result: Mapping[str, Any]) -> str:
    """The primary questions, p corrected for their number."""
    here = {e.metric: e for e in effects_of(result) if dict(e.condition) == ASKED and e.variant == MIX}
    every = [here[metric] for metric in PRIMARY if metric in here]
    lines = head("metric", "pairs", "l1", "difference, %", "corrected p", "answer")
    for effect, p in zip(every, holm([effect.p for effect in every]), strict=True):
        row = {**asdict(effect), "l1": effect.reference_mean}
        cells = [f"{METRICS[effect.metric]}, {effect.unit}", str(effect.pairs), number(effect.reference_mean)]
        cells += [interval(row, bold=p <= LEVEL), number(p, 2), answer(row, p)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def runs_of(name: str) -> tuple[list[Outcome], str]:
    """The finished runs of a study's recipe, and its reference."""
    registry, study = Registry.discover(), compared(name)
    plans = study.runs(registry)
    outcomes = []
    for _, result in carried_out(plans, fingerprints(plans, registry, progress), RUNS):
        if isinstance(result, Exception):
            raise result
        outcomes.append(result)
    return outcomes, study.reference


def with_distances(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The runs with W₂ in Å, the root of the Sinkhorn divergence, which is a square of a distance."""
    return [
        joined(run, "w2", "Å", {name: math.sqrt(max(0.0, s["sinkhorn"])) for name, s in run.samples.items()})
        for run in outcomes
    ]


def asked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The runs with the metrics of the tables alone: whatever else is asked makes each of these harder to claim."""
    names = [name for name in METRICS if name in outcomes[0].units]
    return [
        replace(
            run,
            units={name: run.units[name] for name in names},
            samples={sample: {name: values[name] for name in names} for sample, values in run.samples.items()},
        )
        for run in outcomes
    ]


def results(
    outcomes: Sequence[Outcome], every: Sequence[Effect], command: str, cycles: Mapping[str, Cycles] | None = None
) -> dict[str, Any]:
    """What is committed: means of each run, and every difference from the reference. cycles: see ``with_dft``."""
    cycles = cycles or {}
    units = outcomes[0].units
    return {
        "command": command,
        "units": dict(units),
        "runs": [
            {
                "variant": run.variant, **run.condition, "fold": run.fold, "seed": run.seed,
                **{name: float(f"{run.mean(name):.4g}") for name in units}, **spread(run, cycles),
                "step_ms": round(1e3 * run.step_seconds, 1), "memory_mb": round(run.memory / 1e6),
            }
            for run in outcomes
        ],
        "effects": [
            {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in asdict(effect).items()}
            for effect in every
        ],
    }  # fmt: skip


def effects_of(result: Mapping[str, Any]) -> list[Effect]:
    """The differences that ``results`` wrote."""
    return [Effect(**{**e, "condition": tuple(tuple(pair) for pair in e["condition"])}) for e in result["effects"]]


def tables(result: Mapping[str, Any]) -> str:
    """For each condition the means, and the differences from the reference."""
    every = effects_of(result)
    units, reference = result["units"], every[0].reference
    heads = [f"{METRICS[name]}, {units[name]}" for name in units]
    text = []
    for condition in dict.fromkeys(effect.condition for effect in every):
        here = [run for run in result["runs"] if all(run[key] == label for key, label in condition)]
        differences = {(e.variant, e.metric): e for e in every if e.condition == condition}
        variants = list(dict.fromkeys(run["variant"] for run in here))
        text += ["#### " + (in_words(dict(condition)) or "All runs"), ""]
        text += ["| loss | runs | " + " | ".join(heads) + " | ms per step |", "|---" * (len(heads) + 3) + "|"]
        for variant in variants:
            ours = [run for run in here if run["variant"] == variant]
            means = [number(float(np.mean([run[name] for run in ours]))) for name in (*units, "step_ms")]
            text.append(f"| {variant} | {len(ours)} | " + " | ".join(means) + " |")
        text += ["", f"| against {reference}, % | " + " | ".join(METRICS[name] for name in units) + " |"]
        text.append("|---" * (len(heads) + 1) + "|")
        for variant in variants:
            if variant != reference:
                cells = [_relative(differences[variant, name]) for name in units]
                text.append(f"| {variant} | " + " | ".join(cells) + " |")
        text += energies(here)
        claims = sum(effect.claimed for effect in differences.values())
        text += ["", f"{claims} of {len(differences)} differences are claimed.", ""]
    return "\n".join(text)


def _relative(effect: Effect) -> str:
    """A difference in % of the reference's mean, with its interval; bold when it is claimed."""
    shares = (100 * value / effect.reference_mean for value in (effect.difference, effect.low, effect.high))
    difference, low, high = (f"{share:+.0f}".replace("-", "−") for share in shares)
    return f"**{difference}** ({low} to {high})" if effect.claimed else f"{difference} ({low} to {high})"


def write_page() -> None:
    """The figure of each study that was run, and its tables between their markers in the page."""
    for size, names in STUDIES.items():
        parts = []
        for name in names:
            file = PAGE.with_name(f"{name}.json")
            if file.exists():
                result = json.loads(file.read_text(encoding="utf-8"))
                called = {metric: METRICS[metric] for metric in result["units"]}
                FIGURES.joinpath(f"{name}.png").write_bytes(ratios(effects_of(result), called))
                parts.append(tables(result))
                if name == SMALL:
                    put(PAGE, "answers", answers(result))
        put(PAGE, size, "\n".join(parts) or "Not run yet.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="?", choices=list(STUDIES))
    parser.add_argument("--pages", action="store_true", help="tables and figures alone")
    options, passed = parser.parse_known_args()
    if not options.pages:
        if options.size is None:
            parser.error("say which study: small or full")
        for name in STUDIES[options.size]:
            recipe, folder = f"configs/comparisons/{name}.yaml", COMPARISONS / name
            command = [recipe, "--out", str(folder.relative_to(ROOT)), "--runs", str(RUNS.relative_to(ROOT)), *passed]
            edframe("compare", *command)
            outcomes, reference = runs_of(name)
            if name == SMALL:
                outcomes = both(outcomes, folder / "others")
            cycles: dict[str, Cycles] = {}
            if name != "l2-vs-transport-clusters":  # one evaluation of a cluster's energy takes half a minute
                outcomes, cycles = with_dft(outcomes, folder / "energies.json")
            picture = errors(outcomes, reference)
            FIGURES.joinpath(f"{name}-errors.png").write_bytes(picture)
            outcomes = asked(with_distances(outcomes))
            result = results(outcomes, effects(outcomes, reference), f"edframe compare {recipe}", cycles)
            with replacing(PAGE.with_name(f"{name}.json")) as file:
                file.write((json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    FIGURES.joinpath("loss-gradients.png").write_bytes(gradients())
    write_page()


if __name__ == "__main__":
    main()

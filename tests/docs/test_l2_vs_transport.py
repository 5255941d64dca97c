"""The study of losses: W₂ is a root, tables say what the runs say, and a page keeps what stands around them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from edframe.comparison.outcome import Outcome
from edframe.comparison.statistics import Effect, effects


@pytest.fixture
def study(script):
    return script("l2_vs_transport")


@pytest.fixture
def outcomes():
    """Three seeds of two losses: the second has half the dipole error of the first, and the same NMAE but for noise."""
    random = np.random.default_rng(0)
    made = []
    for variant, share in (("l1", 1.0), ("l1 + sinkhorn", 0.5)):
        for seed in range(3):
            samples = {
                f"s{i}": {
                    "nmae": 1 + 0.3 * random.normal(), "dipole_error": share * (0.04 + 1e-4 * seed), "sinkhorn": 4e-4,
                }
                for i in range(12)
            }  # fmt: skip
            made.append(Outcome(
                variant=variant, condition={"training.size": "25"}, fold=0, seed=seed, run=Path(f"{variant}-{seed}"),
                samples=samples, groups={name: i for i, name in enumerate(samples)},
                units={"nmae": "%", "dipole_error": "e·Å", "sinkhorn": "Å²"}, training=25, step_seconds=0.1,
                memory=1e9, steps=(), validations=(),
            ))  # fmt: skip
    return made


def test_the_distance_is_the_root_of_the_divergence(study, outcomes):
    for run in study.with_distances(outcomes):
        assert run.units["w2"] == "Å"
        assert {values["w2"] for values in run.samples.values()} == {0.02}


def test_tables_say_what_the_runs_say_and_mark_what_is_claimed(study, outcomes):
    runs = study.asked(study.with_distances(outcomes))
    result = json.loads(json.dumps(study.results(runs, effects(runs, "l1"), "edframe compare")))
    assert set(runs[0].samples["s0"]) == set(result["units"]) == {"nmae", "dipole_error", "w2"}
    text = study.tables(result)
    row, relative = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| l1 + sinkhorn |")
    )
    mean = np.mean([run.mean("nmae") for run in runs[3:]])
    assert float(row[2]) == pytest.approx(mean, rel=0.005)
    assert row[3] == "0.0200" or row[3] == "0.0201"
    assert row[4] == "0.0200"
    assert relative[2] == "**−50** (−50 to −50)"
    assert relative[3] == "+0 (+0 to +0)"  # W₂ is equal, so nothing is claimed of it
    assert "1 of 3 differences are claimed." in text


def test_energies_say_what_their_mean_is_made_of(study, outcomes):
    values = [1.0] * 9 + [2.0, 40.0, 50.0]  # of the sum of 101, 92 in the largest three
    run = replace(
        outcomes[0], units={**outcomes[0].units, "energy_error": "meV/atom"},
        samples={f"s{i}": {**outcomes[0].samples[f"s{i}"], "energy_error": value} for i, value in enumerate(values)},
    )  # fmt: skip
    cycles = {run.run.name: {"s0": 6, "s1": 8, "of another test": 20}, "": {"s0": 9, "s1": 10, "s2": 30}}
    known = study.spread(run, cycles)["energies"]
    assert (known["structures"], known["median"]) == (12, 1.0)
    assert known["high"] == pytest.approx(0.1 * 2 + 0.9 * 40, rel=1e-3)  # 0.9 of 11 intervals: between the last but two
    assert known["largest"] == pytest.approx(92 / 101, abs=1e-3)
    row = {"variant": "l1", "energy_error": float(np.mean(values)), "energies": known}
    assert study.energies([row])[-1] == "| l1 | 12 | 8.42 | 1.00 | 36.2 | 91.1 | 7.0 | 9.5 |"
    assert study.spread(outcomes[0], {}) == {}


def test_primary_questions_are_corrected_for_their_number(study):
    """Of p 0.01, 0.02, 0.03 and 0.5, Holm's are 0.04, 0.06, 0.06 and 0.5."""
    every = [
        Effect(
            metric=metric, unit="Å", condition=tuple(study.ASKED.items()), variant=study.MIX, reference="l1", pairs=5,
            variant_mean=0.9, reference_mean=1.0, difference=-0.1, low=-0.2, high=0.3, p=p,
        )
        for metric, p in zip(study.PRIMARY, (0.01, 0.03, 0.02, 0.5), strict=True)
    ]  # fmt: skip
    other = replace(every[0], condition=(("training.size", "100"),), p=1e-9)  # not asked
    text = study.answers({"effects": [asdict(effect) for effect in (*every, other)]})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert [row[4:] for row in rows] == [
        ["0.040", "lower"], ["0.060", "open"], ["0.060", "open"], ["0.50", "open"],
    ]  # fmt: skip
    assert [row[3] for row in rows] == ["**−10** (−20 to +30)", *["−10 (−20 to +30)"] * 3]


def test_a_run_is_compared_on_both_test_sets(study, outcomes, tmp_path):
    """With what is kept of the others of the same kind, no model is built."""
    for run in outcomes:
        kept = {"samples": {"other": {"nmae": 2.0, "dipole_error": 0.1, "sinkhorn": 1e-4}}, "groups": {"other": 5}}
        (tmp_path / f"{run.run.name}.json").write_text(json.dumps(kept))
    every = study.both(outcomes, tmp_path)
    assert [run.condition[study.TESTED] for run in every] == ["others of the same kind", "corners"] * len(outcomes)
    others, corners = every[0], every[1]
    assert (list(others.samples), dict(others.groups)) == (["other"], {"other": 5})
    assert corners.samples == outcomes[0].samples
    tested = {dict(effect.condition)[study.TESTED]: effect for effect in effects(study.asked(every), "l1")}
    assert tested["others of the same kind"].pairs == tested["corners"].pairs == 3


def test_a_page_keeps_what_stands_around_its_tables(study, outcomes, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    answers = "<!-- answers -->\n<!-- /answers -->\n"
    markers = f"{answers}<!-- small -->\nold\n<!-- /small -->\nbetween\n<!-- full -->\n<!-- /full -->\n"
    page.write_text(f"before\n{markers}")
    monkeypatch.setattr(study, "PAGE", page)
    monkeypatch.setattr(study, "FIGURES", tmp_path)
    runs = study.asked(study.with_distances(outcomes))
    result = study.results(runs, effects(runs, "l1"), "edframe compare")
    (tmp_path / "l2-vs-transport-small.json").write_text(json.dumps(result))
    study.write_page()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- answers -->\n| metric |")
    assert "<!-- /answers -->\n<!-- small -->\n#### training.size: 25\n" in text
    assert text.endswith("<!-- /small -->\nbetween\n<!-- full -->\nNot run yet.\n<!-- /full -->\n")
    assert "old" not in text
    assert (tmp_path / "l2-vs-transport-small.png").read_bytes().startswith(b"\x89PNG")
    study.write_page()
    assert page.read_text(encoding="utf-8") == text


def test_the_page_is_what_the_results_say(study):
    """The tables stand in the page, and the intervals in the results contain their means."""
    result = json.loads(study.PAGE.with_name("l2-vs-transport-small.json").read_text(encoding="utf-8"))
    assert study.tables(result) in study.PAGE.read_text(encoding="utf-8")
    for effect in study.effects_of(result):
        ours, theirs = (
            np.mean([
                run[effect.metric] for run in result["runs"]
                if run["variant"] == variant and all(run[key] == label for key, label in effect.condition)
            ])
            for variant in (effect.variant, effect.reference)
        )  # fmt: skip
        assert ours - theirs == pytest.approx(effect.difference, abs=2e-3 * max(ours, theirs))
        assert effect.low < effect.difference < effect.high

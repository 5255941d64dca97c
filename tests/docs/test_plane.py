"""The study of networks in the plane: its statistics against textbook values, its page against its results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edframe.contract.registry import Registry

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def page(script):
    return script("plane_page")


@pytest.fixture(scope="module")
def study(script):
    return script("plane_study")


@pytest.fixture(scope="module")
def recipe(study):
    return study.recipe()


def test_holm_is_the_textbook_example(page) -> None:
    # Holm's steps by hand: 0.005·4, max(0.01·3, 0.02), max(0.03·2, 0.03), max(0.04·1, 0.06).
    assert page.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert page.holm([0.7, 0.9]) == [1.0, 1.0]


def test_a_detectable_effect_is_found_four_times_in_five(page) -> None:
    pairs, spread, questions = 10, 12.0, 6
    effect = page.detectable(spread, pairs, questions)
    drawn = np.random.default_rng(0).normal(effect, spread, (20000, pairs))
    p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
    assert (p < 0.05 / questions).mean() == pytest.approx(0.8, abs=0.04)


def test_answers_follow_from_the_interval_and_the_corrected_p(page) -> None:
    effect = {"l1": 2.0, "difference": -0.4, "low": -0.5, "high": -0.3, "pairs": 10}
    assert page.percent(effect) == pytest.approx((-20, -25, -15))
    assert page.answer(effect, 0.01) == "lower"
    assert page.answer(effect, 0.06) == "open"
    assert page.answer({**effect, "difference": 0.01, "low": -0.15, "high": 0.17}, 0.9) == "no effect of 10%"
    # Student's quantiles of nine degrees: 2.685 for 97.5% and 2.262 for 95%; 0.16 becomes 0.19, 0.18 becomes 0.21.
    assert page.answer({**effect, "difference": 0.0, "low": -0.18, "high": 0.18}, 0.9) == "open"


def test_two_looks_cost_a_factor_of_two(page) -> None:
    names = {"condition": "a", "loss": "b", "test": "inner"}
    questions = [{**names, "metric": "w2"}, {**names, "metric": "dipole_error", "again": True}]
    effect = {**names, "l1": 1.0, "difference": -0.4, "low": -0.5, "high": -0.3}
    first = [
        {**effect, "metric": "w2", "pairs": 10, "p": 0.01},
        {**effect, "metric": "dipole_error", "pairs": 10, "p": 0.03},
    ]
    second = [{**one, "pairs": 20, "p": 0.02} for one in first]
    runs = [{"conditions": ["a"], "losses": ["b"], "seeds": seeds} for seeds in (10, 20)]
    recipe = {"questions": questions, "looks": {"first": 10, "count": 2}, "runs": runs}
    seen = [(look.number, look.p, look.answer) for look in page.looks(recipe, second, first)]
    assert [number for number, _, _ in seen] == [1, 1, 2]
    assert [p for _, p, _ in seen] == pytest.approx([0.04, 0.06, 0.04])
    assert [word for _, _, word in seen] == ["lower", "open", "lower"]
    some = [{**one, "pairs": 19} for one in second]
    assert page.looks(recipe, some, first)[-1].answer == "open: not run"


def test_pairs_that_would_answer_are_enough(page) -> None:
    spread, pairs = 30.0, 10
    reach = stats.t(pairs - 1).ppf(0.975) * spread / pairs**0.5
    effect = {"l1": 100.0, "difference": -20.0, "low": -20 - reach, "high": -20 + reach, "pairs": pairs}
    count = page.needed(effect)
    drawn = np.random.default_rng(0).normal(20, spread, (10000, count))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05 / 6).mean() == pytest.approx(0.8, abs=0.03)


def test_the_recipe_names_what_it_has_and_every_experiment_of_it_is_valid(study, page, recipe) -> None:
    assert 1 <= len(recipe["questions"]) <= 6
    plans = list(study.planned(recipe))
    assert len({plan.key for plan in plans}) == len(plans)
    asked = {(question["condition"], question["loss"]) for question in recipe["questions"]}
    assert asked <= {(plan.condition, plan.loss) for plan in plans}
    assert {question["metric"] for question in recipe["questions"]} <= set(page.METRICS)
    registry = Registry.discover()
    seen = {(plan.condition, plan.loss): plan for plan in reversed(plans)}
    for plan in seen.values():
        experiment = study.experiment_of(plan, recipe, registry)
        assert (experiment.seed, experiment.splits.fold) == (plan.seed, plan.seed % 4)
        assert experiment.splits.test == "corners"
        size = plan.condition.rpartition(" ")[2]
        assert experiment.training.size == (None if size == "all" else int(size))


def test_the_page_is_that_of_its_results(study, page, recipe) -> None:
    rows = [json.loads(line) for line in (RESULTS / "plane.jsonl").read_text(encoding="utf-8").splitlines()]
    keys = [plan.key for plan in study.planned(recipe)]
    assert {row["key"] for row in rows} <= set(keys)
    rows = sorted({row["key"]: row for row in rows}.values(), key=lambda row: keys.index(row["key"]))
    kept = json.loads((RESULTS / "plane.json").read_text(encoding="utf-8"))
    text = (RESULTS / "plane.md").read_text(encoding="utf-8")
    for name, part in page.texts(recipe, rows, **kept).items():
        assert f"<!-- {name} -->\n{part}<!-- /{name} -->" in text

"""Differences of runs. Oracles: SciPy's paired t-test, the variance of a balanced design, a count of false claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edframe.comparison.outcome import Outcome
from edframe.comparison.statistics import LEVEL, effects, paired


def outcome(variant, seed, values, *, fold=0, condition=(), metric="nmae", groups=None):
    """A run with one metric: its value for each sample."""
    ids = [f"s{i}" for i in range(len(values))]
    return Outcome(
        variant=variant, condition=dict(condition), fold=fold, seed=seed, run=Path(), samples={
            name: {metric: float(value)} for name, value in zip(ids, values, strict=True)
        }, groups=dict(zip(ids, groups or range(len(ids)), strict=True)), units={metric: "%"}, training=10,
        step_seconds=0.1, memory=1e9, steps=(), validations=(),
    )  # fmt: skip


def test_without_chance_in_the_samples_it_is_the_paired_t_test():
    """Where every sample has its run's difference, only runs are left to draw."""
    means = np.random.default_rng(1).normal(0.3, 1.0, 8)
    mean, low, high, p = paired(np.repeat(means, 5), np.repeat(range(8), 5), np.tile(range(5), 8))
    student = stats.ttest_1samp(means, 0.0)
    expected = student.confidence_interval()
    assert mean == pytest.approx(means.mean())
    assert [low, high] == pytest.approx([expected.low, expected.high], rel=0.03)
    assert p == pytest.approx(student.pvalue, rel=0.1)


def test_standard_error_adds_what_runs_and_samples_contribute():
    """Additive effects a_i + b_j of a balanced design: the variance of the mean is that of ā plus that of b̄."""
    random = np.random.default_rng(2)
    runs, groups = random.normal(0, 1.0, 12), random.normal(0, 2.0, 30)
    table = runs[:, None] + groups
    labels = np.indices(table.shape)
    mean, low, high, _ = paired(table.ravel(), labels[0].ravel(), labels[1].ravel())
    expected = np.sqrt((runs.var() / 12 + groups.var() / 30) * 12 / 11)
    assert mean == pytest.approx(table.mean())
    assert (high - low) / 2 / stats.t(11).ppf(0.975) == pytest.approx(expected, rel=0.04)


def test_nothing_is_claimed_too_often_of_few_runs():
    """Three runs of equal variants, 400 times: a 95% interval misses zero in about one of twenty, not in a third."""
    random = np.random.default_rng(3)
    labels = np.indices((3, 20))
    missed = 0
    for _ in range(400):
        table = random.normal(0, 1.0, (3, 1)) + random.normal(0, 0.3, (3, 20))
        *_, p = paired(table.ravel(), labels[0].ravel(), labels[1].ravel())
        missed += p < 0.05
    assert missed / 400 == pytest.approx(0.05, abs=0.03)


def test_one_pair_of_runs_tells_nothing_of_another():
    (effect,) = effects([outcome("l2", 0, [1, 2, 3]), outcome("l1", 0, [0.5, 1, 1.5])], "l2")
    assert effect.difference == pytest.approx(-1)
    assert np.isnan([effect.low, effect.high, effect.p, effect.corrected]).all()
    assert not effect.claimed
    assert "nothing can be said" in effect.sentence()


def test_differences_are_of_the_same_fold_seed_and_sample():
    """Runs that have no partner, and samples that one of two lacks, are left out of both means."""
    values = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    ours = [outcome("l1", seed, np.array(v) - 0.5) for seed, v in enumerate(values)]
    theirs = [outcome("l2", seed, v) for seed, v in enumerate(values)]
    ours.append(outcome("l1", 7, [100.0]))
    theirs[0].samples["s2"]["nmae"] = np.nan
    (effect,) = effects([*theirs, *ours], "l2")
    assert effect.pairs == 2
    assert effect.difference == pytest.approx(-0.5)
    assert effect.reference_mean == pytest.approx(np.mean([1, 2, 2, 3, 4]))
    assert effect.relative == pytest.approx(-0.5 / 2.4)


def test_many_comparisons_of_equal_variants_make_no_claims():
    """p-values as SciPy's correction leaves them; of sixty effects of nothing, some are small by chance."""
    random = np.random.default_rng(4)
    outcomes = [
        outcome(
            f"v{variant}",
            seed,
            random.normal(10, 1) + random.normal(0, 0.1, 20),
            condition={"training.size": str(size)},
        )
        for size in range(6)
        for variant in range(11)
        for seed in range(4)
    ]
    differences = effects(outcomes, "v0")
    assert len(differences) == 60
    assert min(effect.p for effect in differences) < LEVEL
    assert not any(effect.claimed for effect in differences)
    corrected = stats.false_discovery_control([effect.p for effect in differences])
    assert [effect.corrected for effect in differences] == pytest.approx(list(corrected))


def test_sentences_say_what_is_known():
    random = np.random.default_rng(5)
    base = [random.normal(10, 0.1, 20) for _ in range(5)]
    better = [values - 3 + random.normal(0, 0.1, 20) for values in base]
    same = [values + random.normal(0, 0.1, 20) for values in base]
    runs = [
        outcome(name, seed, values[seed])
        for name, values in (("l2", base), ("l1", better), ("huber", same))
        for seed in range(5)
    ]
    lower, equal = effects(runs, "l2")
    assert lower.claimed
    assert lower.low < -3.0 < lower.high or lower.difference == pytest.approx(-3, abs=0.1)
    assert "l1 is 30" in lower.sentence("NMAE")
    assert "lower than l2" in lower.sentence("NMAE")
    assert not equal.claimed
    assert "do not differ significantly" in equal.sentence()


def test_equal_predictions_do_not_differ():
    runs = [outcome(name, seed, [1.0, 2.0]) for name in ("l2", "l1") for seed in range(3)]
    (effect,) = effects(runs, "l2")
    assert (effect.difference, effect.low, effect.high, effect.p) == (0, 0, 0, 1)


def test_nothing_is_said_of_a_metric_that_no_sample_has():
    """As the dipole of crystals."""
    nan = [float("nan")] * 3
    runs = [outcome(variant, seed, nan, metric="dipole_error") for variant in ("a", "b") for seed in range(2)]
    assert effects(runs, "a") == []
    assert np.isnan([run.mean("dipole_error") for run in runs]).all()

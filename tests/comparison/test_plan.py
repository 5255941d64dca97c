"""What is run for a comparison: every combination, with all else equal."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
import yaml

from edframe.comparison.plan import comparison
from edframe.config.resolve import resolve, varied
from edframe.contract.registry import Registry
from edframe.data.loading import Schedule
from edframe.errors import ConfigError
from edframe.runs.build import build

MIX = {"name": "mix", "weights": {"l2": 1.0, "sinkhorn": 0.3}}
TINY = ["data.grid=12", "data.samples=16", "featurizer.name=sad", "splits.validation=2", "model.widths=[4,8]",
        "model.blocks=[0,1]"]  # fmt: skip


@pytest.fixture(scope="module")
def installed():
    return Registry.discover()


@pytest.fixture
def compare(installed):
    """A comparison of a tiny experiment, from the text of its section."""

    def make(section, *settings, given=()):
        base, _ = resolve(installed, settings=[*TINY, *settings])
        return comparison(base, yaml.safe_load(section), given, installed)

    return make


def test_every_combination_is_run_once_with_all_else_equal(compare, installed):
    compared = compare("{loss: [l2, l1], training.size: [4, 8], splits.test: [null, corners], seeds: 2, folds: 3}")
    runs = compared.runs(installed)
    labels = [(p.variant, *p.condition.values(), p.fold, p.seed) for p in runs]
    assert set(labels) == set(itertools.product(("l2", "l1"), ("4", "8"), ("null", "corners"), range(3), range(2)))
    assert len(labels) == len(set(labels)) == 48
    for plan in runs:
        config = plan.experiment.dump()
        assert (plan.experiment.splits.fold, plan.experiment.seed) == (plan.fold, plan.seed)
        rest = varied(config, {"loss": compared.base.loss.dump(), "training.size": None}, installed, "").dump()
        expected = varied(compared.base.dump(), {"splits.test": config["splits"]["test"]}, installed, "").dump()
        for values in (rest, expected):
            values["splits"]["fold"] = values["seed"] = values["name"] = None
        assert rest == expected
    assert (compared.reference, list(compared.axes[1].values)) == ("l2", ["4", "8"])
    # A stopped comparison has whole pairs: the first runs are those of one seed and fold.
    assert {(p.fold, p.seed) for p in runs[:8]} == {(0, 0)}


def test_an_axis_with_a_name_gives_values_to_several_keys(compare, installed):
    compared = compare("""
        recipe:
          small: {model: {name: unet, widths: [8, 8], blocks: [0, 1]}, training.steps: 7}
          other: {loss: l1, featurizer: gaussian, training.steps: 9}
        task: {folds: {splits.test: null}, corners: {splits.test: corners, data.samples: 20}}
        seeds: 1
    """)
    runs = {(plan.variant, plan.condition["task"]): plan.experiment for plan in compared.runs(installed)}
    facts = {key: (one.loss.name, one.featurizer.name, one.training.steps, one.splits.test, one.data.dump()["samples"])
             for key, one in runs.items()}  # fmt: skip
    loss, featurizer = compared.base.loss.name, compared.base.featurizer.name
    assert facts == {
        ("small", "folds"): (loss, featurizer, 7, None, 16), ("small", "corners"): (loss, featurizer, 7, "corners", 20),
        ("other", "folds"): ("l1", "gaussian", 9, None, 16), ("other", "corners"): ("l1", "gaussian", 9, "corners", 20),
    }  # fmt: skip
    assert {"l1", "sinkhorn"} <= {metric.name for metric in compared.base.metrics}
    again = comparison(compared.base, yaml.safe_load(compared.to_yaml())["compare"], [], installed)
    assert again.declared() == compared.declared()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{los: [l1, l2]}", "compare.los: there is no key 'los'; did you mean 'loss'"),
        ("{los: {a: {name: l1}, b: {name: l2}}}", "compare.los.a: 'name' cannot be varied"),
        ("{task: {a: {seed: 1}, b: {seed: 2}}}", "compare.task.a: 'seed' cannot be varied"),
        ("{task: {a: {trainin.steps: 1}, b: {}}}", "below a name of your own, write a mapping from labels"),
        ("{task: {a: {trainin.steps: 1}, b: {loss: l1}}}", "compare.task.a: 'trainin.steps' cannot be varied"),
        ("{task: {a: {loss: l1}, b: {loss: l2}}, loss: [l1, l2]}", "'task' and 'loss' both give values for loss"),
    ],
)
def test_an_axis_with_a_name_that_gives_nothing_to_compare_is_refused(compare, section, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        compare(section)


def test_runs_of_a_seed_share_weights_batches_and_samples(compare, installed):
    compared = compare(yaml.safe_dump({"loss": ["l2", "sinkhorn", MIX], "training.size": [4, 8], "seeds": 2}))
    parts = {}
    for plan in compared.runs(installed):
        made = build(plan.experiment, installed, lambda done, total: None)
        parts[plan.variant, plan.condition["training.size"], plan.seed] = made
    one = parts["l2", "4", 0]
    for (_, size, seed), other in parts.items():
        same = all(torch.equal(*pair) for pair in zip(one.model.parameters(), other.model.parameters(), strict=True))
        assert same == (seed == 0)
        assert one.split.test == other.split.test
        assert len(other.split.train) == int(size)
        assert set(parts["l2", "4", seed].split.train) <= set(other.split.train)
        twin = parts["l2", size, seed]
        orders = [Schedule(p.split.train, p.dataset.buckets, 1, seed, 1) for p in (twin, other)]
        assert [orders[0](step) for step in range(9)] == [orders[1](step) for step in range(9)]
    assert one.split.train != parts["l2", "4", 1].split.train


def test_blocks_keep_their_own_options_and_no_others(compare):
    compared = compare(yaml.safe_dump({"loss": {"a": "sinkhorn", "b": MIX, "c": "l1"}}), "loss.blur=0.31")
    blocks = compared.axes[0].values
    assert blocks["a"]["blur"] == 0.31  # the experiment's own
    assert blocks["b"]["weights"] == {"l2": 1.0, "sinkhorn": 0.3}  # not those of the default mix beside them
    assert blocks["b"]["options"]["sinkhorn"]["blur"] is None
    assert blocks["c"] == {"name": "l1"}


def test_all_runs_are_judged_by_every_loss_that_is_compared(compare, installed):
    compared = compare(yaml.safe_dump({"loss": ["l1", MIX]}), "metrics=[sliced]")
    for plan in compared.runs(installed):
        assert {metric.name for metric in plan.experiment.metrics} == {"sliced", "l1", "l2", "sinkhorn"}
    for plan in compare("{model.widths: [[4, 8], [8, 8]]}", "loss={name: l1}").runs(installed):
        assert {metric.name for metric in plan.experiment.metrics} == {"l1", "sinkhorn"}


def test_a_loss_whose_options_differ_is_judged_with_its_default_options(compare, installed):
    runs = compare("{loss.blur: [0.2, 0.4]}").runs(installed)
    assert [plan.experiment.loss.options.blur for plan in runs[:2]] == [0.2, 0.4]
    for plan in runs:
        (metric,) = plan.experiment.metrics
        assert (metric.name, metric.options.blur) == ("sinkhorn", None)


def test_what_it_writes_repeats_it(compare, installed):
    compared = compare(
        yaml.safe_dump({"loss": ["sinkhorn", MIX], "training.size": [4, 8], "seeds": 2}), "loss.tol=0.01"
    )
    content = yaml.safe_load(compared.to_yaml())
    section = content.pop("compare")
    again = comparison(varied(content, {}, installed, ""), section, [], installed)
    assert again.name() == compared.name()
    keys = [[plan.key("data") for plan in one.runs(installed)] for one in (compared, again)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 8
    assert compared.runs(installed)[0].key("data") != compared.runs(installed)[0].key("other data")


def test_names_come_from_what_is_compared_unless_one_is_given(compare, installed):
    named = [compare("{loss: [l2, l1]}", *more) for more in ([], ["name=mine"])]
    assert [one.name().rpartition("-")[0] for one in named] == ["li-o-li-loss", "mine"]
    assert [plan.experiment.name for plan in named[0].runs(installed)[:2]] == ["li-o-li-unet-l2", "li-o-li-unet-l1"]


def test_labels_name_what_differs(compare):
    mixes = [{**MIX, "weights": {"l2": 1.0, "sinkhorn": weight}} for weight in (10.0, 100.0)]
    several = compare(yaml.safe_dump({"loss": ["l1", "mix", *mixes], "model.widths": [[4, 8], [8, 8]]}))
    assert list(several.axes[0].values) == [
        "l1", "mix", "mix weights: {l2: 1.0, sinkhorn: 10.0}", "mix weights: {l2: 1.0, sinkhorn: 100.0}",
    ]  # fmt: skip
    assert list(several.axes[1].values) == ["[4, 8]", "[8, 8]"]
    assert list(compare(yaml.safe_dump({"loss": ["l1", MIX]})).axes[0].values) == ["l1", "mix"]


def test_flags_replace_an_axis_of_the_recipe_and_single_values_are_settings(compare):
    compared = compare(
        "{loss: [l2, l1], training.size: [4, 8]}", given=[("loss", ["l1", "sinkhorn"]), ("training.size", [4])]
    )
    assert [axis.key for axis in compared.axes] == ["loss"]
    assert list(compared.axes[0].values) == ["l1", "sinkhorn"]
    assert compared.base.training.size == 4


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{}", "nothing to compare: give two values"),
        ("{loss: [l2]}", "nothing to compare"),
        ("[l2]", "compare: write axes below it"),
        ("{loss: l2}", "compare.loss: write a list"),
        ("{loss: [l2, l2]}", "'l2' is given twice"),
        ("{loss: [l2, l1, sinkhron]}", "did you mean 'sinkhorn'"),
        ("{training.sise: [1, 2]}", "did you mean 'size'|did you mean 'training.size'"),
        ("{training.size: [1, 0]}", "training.size = 0"),
        ("{seed: [1, 2]}", r"the same seeds and folds; say how many by compare\.seeds and compare\.folds"),
        ("{loss: [l2, l1], seeds: 0}", "compare.seeds = 0: give a whole number above 0"),
        ("{loss: [l2, l1], seconds: soon}", "compare.seconds = 'soon': give a number above 0"),
        ("{loss: [l2, l1], folds: 9}", "the experiment has 4 folds"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(compare, installed, section, message):
    with pytest.raises(ConfigError, match=message) as raised:
        compare(section).runs(installed)
    assert "\n" not in str(raised.value)

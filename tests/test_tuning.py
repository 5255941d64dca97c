"""Search spaces, trials and studies, as a library. The oracle: a learning rate of 1e-9 cannot learn, 0.02 can."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace
from typing import ClassVar

import matplotlib.figure
import numpy as np
import optuna
import pytest
import yaml
from filelock import FileLock
from pydantic import Field

import edframe.runs.execute
from edframe.config.experiment import Training
from edframe.config.resolve import merge, resolve, varied
from edframe.contract.component import Among, Range, Search
from edframe.contract.registry import Registry
from edframe.errors import ConfigError, PluginError, RunError
from edframe.plugin import ComponentConfig
from edframe.tuning import figure, space, trial
from edframe.tuning.journal import BEST, CONFIG, JOURNAL, LOCK, SPACE, finished, opened
from edframe.tuning.study import completed, importances, tune, values_of

RATE = "training.learning_rate"
GOOD, BAD = 0.02, 1e-9


class Options(ComponentConfig):
    blur: float = Field(0.3, gt=0)
    """Width of the blur in Å."""
    depth: int = Field(2, ge=1)
    """Number of levels."""


REFUSED = {
    "unknown option": ({"blurr": Range(0.1, 1.0)}, r"search\['blurr'\]: there is no such option"),
    "refused end": ({"blur": Range(0.0, 1.0)}, "refuses 0.0 .*greater than 0"),
    "refused value": ({"depth": Among((1, 2.5))}, "refuses 2.5"),
    "fraction of a count": ({"depth": Range(1.0, 2.5)}, "refuses 2.5"),
    "whole ends of a fraction": ({"blur": Range(1, 4)}, r"takes fractions; write 1\.0"),
}


@pytest.mark.parametrize(("spaces", "message"), REFUSED.values(), ids=REFUSED)
def test_search_that_cannot_be_is_refused_where_the_class_is_defined(spaces, message):
    with pytest.raises(PluginError, match=message):

        class Wrong(Options):
            search: ClassVar[Search] = spaces


@pytest.mark.parametrize(
    "make",
    [lambda: Range(2, 1), lambda: Range(0.0, 1.0, log=True), lambda: Range(0.1, 1.0, step=2.0), lambda: Among((1,))],
)
def test_range_or_choice_of_nothing_is_refused(make):
    with pytest.raises(PluginError):
        make()


@pytest.fixture(scope="module")
def installed():
    return Registry.discover()


def test_what_is_given_is_not_searched_unless_it_is_named(installed):
    layers, _ = merge(choices={"loss": "sinkhorn"}, settings=["loss.blur=0.3", "training.batch_size=2"])
    experiment, searched = space.chosen(layers, installed)
    every = space.declared(experiment)
    assert set(every) - set(searched) == {"loss.blur", "training.batch_size"}
    assert {f"training.{name}" for name in Training.search} < set(every)
    assert set(space.chosen(layers, installed, only=["loss"])[1]) == {"loss.blur", "loss.reach"}
    assert set(space.chosen(layers, installed, only=[RATE], vary=["loss.tol=[1e-4, 1e-3]"])[1]) == {RATE, "loss.tol"}


def test_parts_of_a_mix_are_searched_by_their_keys(installed):
    layers, _ = merge(choices={"loss": "mix"})
    assert "loss.options.sinkhorn.blur" in space.declared(space.chosen(layers, installed)[0])
    layers.put("loss.options", {"sinkhorn": {"blur": 0.3}}, "a file")
    assert "loss.options.sinkhorn.blur" not in space.chosen(layers, installed)[1]


def test_every_declared_default_lies_in_its_search(installed):
    """So that the first trial of a study is the experiment itself."""
    for kind, name in installed.provided:
        config = installed.get(kind, name).config
        for option, where in config.search.items():
            default = config.model_fields[option].default
            assert default in where.values if isinstance(where, Among) else where.low <= default <= where.high


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("loss.blur=[null, 0.3]", Among((None, 0.3))),
        ("model.widths=[[4, 8], [8, 16]]", Among(([4, 8], [8, 16]))),
        ("model.dropout={low: 0.0, high: 0.3}", Range(0.0, 0.3)),
        ("training.steps={low: 10, high: 30, step: 10}", Range(10, 30, step=10)),
        (f"{RATE}={{low: 1e-4, high: 1e-2, log: true}}", Range(1e-4, 1e-2, log=True)),
    ],
)
def test_varied_option_is_read_as_yaml_and_written_back(text, where):
    key, searched = space.parsed(text)
    assert (key, searched) == (text.partition("=")[0], where)
    assert space.from_plain(yaml.safe_load(yaml.safe_dump(space.to_plain(where)))) == where


@pytest.mark.parametrize(
    ("only", "vary", "message"),
    [
        (["loss.blurr"], [], "--only loss.blurr: nothing is searched there; did you mean 'loss.blur'"),
        ([], ["data.grid=[12, 24]"], "--vary data.grid=.*only options of training, featurizer, model, loss"),
        ([], ["loss.name=[l1, l2]"], "only options of"),
        ([], ["loss.blur=0.3"], "it is neither a list nor a range; write loss.blur="),
        ([], ["loss.blur={low: 1, hihg: 2}"], "it is neither a list nor a range"),
        ([], ["loss.blur={low: 2, high: 1}"], "from low to high"),
        ([], ["loss.blurr=[1, 2]"], "--vary loss.blurr: there is no option 'loss.blurr'; did you mean 'blur'"),
        ([], ["loss.blur={low: -1.0, high: 1.0}"], "--vary loss.blur: loss.blur = -1.0: .*greater than 0"),
    ],
)
def test_search_that_cannot_be_asked_for_is_one_sentence(installed, only, vary, message):
    with pytest.raises(ConfigError, match=message):
        space.chosen(merge(choices={"loss": "sinkhorn"})[0], installed, only, vary)


def test_nothing_left_to_search_names_the_choices(installed, tmp_path):
    (tmp_path / "all.yaml").write_text(resolve(installed)[0].to_yaml())
    with pytest.raises(ConfigError, match=f"nothing to search.*--only or --vary.*{RATE}"):
        space.chosen(merge(tmp_path / "all.yaml")[0], installed)


def test_values_reach_optuna_and_come_back():
    where = {
        "a": Among(([4, 8], None, "x")),
        "b": Range(1, 9),
        "c": Range(0.1, 1.0, log=True),
        "d": Range(0, 4, step=2),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(30):
        asked = study.ask()
        seen.append({key: trial.suggested(asked, key, one) for key, one in where.items()})
        study.tell(asked, 1.0)
    assert [values_of(one, where) for one in study.trials] == seen
    assert {str(one["a"]) for one in seen} == {"[4, 8]", "None", "x"}
    assert {one["b"] for one in seen} <= set(range(1, 10))
    assert {one["d"] for one in seen} == {0, 2, 4}
    assert all(isinstance(one["c"], float) and 0.1 <= one["c"] <= 1 for one in seen)


def test_varied_mix_keeps_its_own_losses(installed):
    base, _ = resolve(installed, choices={"loss": "mix"}, settings=["loss.weights={l2: 1.0, sinkhorn: 0.5}"])
    changed = varied(base.dump(), {"loss.options.sinkhorn.blur": 0.3}, installed, "a test")
    expected = base.dump()
    expected["loss"]["options"]["sinkhorn"]["blur"] = 0.3
    assert changed.dump() == expected


@pytest.fixture
def tiny_tune(installed, environment, tiny, tmp_path, monkeypatch):
    """``tune`` on an experiment of a moment, whose learning rate is searched: ``tiny_tune(rates, trials)``."""
    monkeypatch.setenv("EDFRAME_CACHE", environment["EDFRAME_CACHE"])

    def call(rates, trials, queue=(), **options):
        settings = {"training__warmup_steps": 0, "training__learning_rate": rates[0], "device": "cpu"}
        arguments = tiny(tmp_path, **{**settings, **options.pop("settings", {})})
        pairs = [value for name, value in itertools.pairwise(arguments) if name == "--set"]
        layers, _ = merge(choices={"loss": "l2"}, settings=pairs)
        experiment, where = space.chosen(layers, installed, only=[RATE], vary=[f"{RATE}={json.dumps(list(rates))}"])
        folder, shown = tmp_path / "study", []
        if queue:
            with opened(folder, experiment.dump(), {key: space.to_plain(one) for key, one in where.items()}) as study:
                for rate in queue:
                    study.enqueue_trial({RATE: json.dumps(rate)})
        study = tune(
            experiment, where, installed, folder, trials, lambda one, done: shown.append((one, done)), **options
        )
        return SimpleNamespace(study=study, folder=folder, experiment=experiment, space=where, shown=shown)

    return call


def test_first_trial_is_the_experiment_itself_and_the_better_rate_wins(tiny_tune):
    tuned = tiny_tune((BAD, GOOD), 4)
    first, best = tuned.study.trials[0], tuned.study.best_trial
    assert values_of(first, tuned.space) == {RATE: BAD}
    assert values_of(best, tuned.space) == {RATE: GOOD}
    assert best.value < first.value - 0.3
    recipe = yaml.safe_load((tuned.folder / BEST).read_text())
    expected = tuned.experiment.dump()
    expected["training"]["learning_rate"] = GOOD
    assert recipe == expected
    assert [done for _, done in tuned.shown] == [0, 1, 2, 3, 4]
    assert {path.name for path in tuned.folder.iterdir()} == {CONFIG, SPACE, JOURNAL, BEST, LOCK}


@pytest.mark.parametrize("prune", [True, False])
def test_trial_below_the_median_is_cut_short(tiny_tune, prune):
    tuned = tiny_tune((BAD, GOOD), 6, queue=[GOOD] * 5 + [BAD], prune=prune)
    *others, last = finished(tuned.study)
    assert [list(one.intermediate_values) for one in others] == [[3, 6]] * 5
    assert list(last.intermediate_values) == ([3] if prune else [3, 6])
    assert len(completed(tuned.study)) == 6 - prune


def test_trial_that_fails_is_kept_with_its_reason(tiny_tune):
    tuned = tiny_tune((1e30, GOOD), 2, queue=[1e30, GOOD])
    failed, best = finished(tuned.study)
    assert "is not finite" in failed.user_attrs["error"]
    assert completed(tuned.study) == [best]
    assert not failed.intermediate_values


def test_study_without_a_result_is_one_sentence(tiny_tune):
    with pytest.raises(RunError, match=r"none of 1 trials was trained to the end \(the last: the .* is not finite"):
        tiny_tune((1e30, GOOD), 1)


def test_only_training_and_validation_samples_are_read(tiny_tune, installed, monkeypatch):
    """Against the split itself."""
    read = []

    def recording(experiment, registry, advance):
        parts = build(experiment, registry, advance)
        splits.append(parts.split)
        kind = type(parts.dataset)
        get = kind.__getitem__

        class Recording(kind):
            def __getitem__(self, index):
                read.append(index)
                return get(self, index)

        parts.dataset.__class__ = Recording
        return parts

    build, splits = edframe.runs.execute.build, []
    monkeypatch.setattr(edframe.runs.execute, "build", recording)
    tiny_tune((BAD, GOOD), 1)
    (split,) = splits
    assert split.test
    assert set(split.validation) <= set(read) <= {*split.train, *split.validation}


def test_killed_trial_is_queued_again_and_a_cut_line_is_mended(tiny_tune):
    whole = tiny_tune((BAD, GOOD, 0.01), 3)
    results = [(values_of(one, whole.space), one.value) for one in finished(whole.study)]
    # As a kill in the second trial would have left it: nothing of what came after its first report.
    lines = (whole.folder / JOURNAL).read_text().splitlines(keepends=True)
    reports = [place for place, line in enumerate(lines) if json.loads(line)["op_code"] == 7]
    (whole.folder / JOURNAL).write_text("".join(lines[: reports[2] + 1]) + lines[reports[2] + 1][:20])
    (whole.folder / ".trial-left").mkdir()
    again = tiny_tune((BAD, GOOD, 0.01), 3)
    assert [(values_of(one, again.space), one.value) for one in finished(again.study)] == results
    assert [one.state.name for one in again.study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert not (again.folder / ".trial-left").exists()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "journal.jsonl",
            "garbage\n{}\n",
            r"journal\.jsonl is damaged \(JSONDecodeError: .*\); restore it from a copy",
        ),
        ("journal.jsonl", '{"op_code": 99, "worker_id": "a"}\n', r"journal\.jsonl is damaged \("),
        ("space.yaml", "a: [", r"is the study of something else: its space\.yaml differs"),
    ],
)
def test_a_damaged_study_is_one_sentence(tmp_path, name, text, sentence):
    with opened(tmp_path, {"seed": 1}, {"key": 2}):
        pass
    (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match=sentence), opened(tmp_path, {"seed": 1}, {"key": 2}):
        pass


def test_folder_in_use_or_of_another_study_is_refused(tiny_tune):
    tuned = tiny_tune((BAD, GOOD), 1)
    before = (tuned.folder / JOURNAL).read_bytes()
    with pytest.raises(RunError, match=r"study of something else: its config.yaml differs; choose another by --study"):
        tiny_tune((BAD, GOOD), 2, settings={"training__steps": 7})
    with FileLock(tuned.folder / LOCK), pytest.raises(RunError, match="in use by another `edframe tune`"):
        tiny_tune((BAD, GOOD), 2)
    assert (tuned.folder / JOURNAL).read_bytes() == before


def test_more_processes_than_one_for_a_trial_are_refused(tiny_tune):
    with pytest.raises(ConfigError, match="each trial is trained in one process; use --workers"):
        tiny_tune((BAD, GOOD), 1, settings={"device": "2xcpu"})


def test_option_that_decides_has_the_importance():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    where = {"matters": Range(0.0, 1.0), "idle": Range(0.0, 1.0)}
    for number in range(60):
        if number == 9:
            assert importances(study, where) == {}
        asked = study.ask()
        values = {key: trial.suggested(asked, key, one) for key, one in where.items()}
        study.tell(asked, values["matters"] ** 2)
    by_key = importances(study, where)
    assert math.isclose(sum(by_key.values()), 1)
    assert by_key["matters"] > 0.8


def test_figure_shows_each_trial_and_the_best_so_far(monkeypatch):
    states = optuna.trial.TrialState
    study = optuna.create_study()
    for values, state in [
        ([9, 8], "COMPLETE"),
        ([12], "PRUNED"),
        ([9, 4], "COMPLETE"),
        ([], "PRUNED"),
        ([9, 6], "COMPLETE"),
    ]:
        value = min(values) if state == "COMPLETE" else None
        study.add_trial(
            optuna.trial.create_trial(state=states[state], value=value, intermediate_values=dict(enumerate(values)))
        )
    drawn, save = [], matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))
    )
    content = figure.figure(study.trials, {"training.learning_rate": 0.9, "loss.blur": 0.1})
    assert content.startswith(b"\x89PNG")
    history, options = drawn[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in history.get_lines()}
    assert lines["trained to the end"] == [[0, 8], [2, 4], [4, 6]]
    assert lines["cut short"] == [[1, 12]]
    assert [x for x, _ in lines["failed"]] == [3]
    assert np.array(lines["best so far"])[:, 1].tolist() == [8, 8, 4, 4, 4]
    assert [bar.get_width() for bar in options.patches] == [0.1, 0.9]

"""From the command line and from files to the options of a mix, and the sentence of every error."""

import pytest
from edframe_mix.plugin import MixConfig

from edframe.config.resolve import resolve
from edframe.config.schema import schema
from edframe.contract.registry import Registry
from edframe.errors import ConfigError

MIX = {"loss": "mix"}
LINE = {"from": 0.0, "to": 0.1, "steps": 500}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


@pytest.fixture
def options(registry, tmp_path):
    """The resolved options of ``--loss mix`` with settings, or of a file."""

    def call(*settings, text=None):
        file = None
        if text is not None:
            file = tmp_path / "experiment.yaml"
            file.write_text(text, encoding="utf-8")
        experiment, _ = resolve(registry, file, {} if file else MIX, settings)
        return experiment.loss.dump()

    return call


@pytest.fixture
def fail(options, tmp_path):
    def call(*settings, text=None):
        with pytest.raises(ConfigError) as caught:
            options(*settings, text=text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return call


def test_the_default_is_l1_with_a_little_sinkhorn(options):
    assert options()["weights"] == {"l1": 1.0, "sinkhorn": 0.1}


def test_options_of_the_parts_are_filled_in(options, registry):
    assert options()["options"] == {
        "l1": {},
        "sinkhorn": registry.get("loss", "sinkhorn").config().model_dump(mode="json"),
    }


def test_a_setting_changes_one_value_and_keeps_the_others(options):
    changed = options("loss.weights.sinkhorn=0.2", "loss.options.sinkhorn.blur=0.3")
    assert changed["weights"] == {"l1": 1.0, "sinkhorn": 0.2}
    assert changed["options"]["sinkhorn"]["blur"] == 0.3
    assert changed["options"]["sinkhorn"].keys() == options()["options"]["sinkhorn"].keys()


@pytest.mark.parametrize("weights", ["{l2: 3}", "{l2: 3.0}", "{l2: '3'}"])
def test_a_mapping_replaces_the_default(options, weights):
    assert options(f"loss.weights={weights}")["weights"] == {"l2": 3.0}
    given = options(text=f"loss:\n  name: mix\n  weights: {weights}\n")
    assert (given["weights"], given["options"]) == ({"l2": 3.0}, {"l2": {}})


def test_a_setting_changes_one_weight_of_a_file(options):
    text = "loss: {name: mix, weights: {l2: 3, l1: 2}}\n"
    assert options("loss.weights.l1=0", text=text)["weights"] == {"l2": 3.0, "l1": 0.0}


def test_a_line_stays_a_line(options):
    assert options(f"loss.weights.sinkhorn={LINE}")["weights"] == {"l1": 1.0, "sinkhorn": LINE}


@pytest.mark.parametrize("settings", [[], [f"loss.weights.sinkhorn={LINE}", "loss.weights.l1=0"]])
def test_a_resolved_config_repeats_itself(registry, tmp_path, settings):
    first, _ = resolve(registry, None, MIX, settings)
    (tmp_path / "config.yaml").write_text(first.to_yaml(), encoding="utf-8")
    assert resolve(registry, tmp_path / "config.yaml") == (first, [])


def test_mix_is_a_metric_too(registry):
    experiment, _ = resolve(registry, settings=["metrics=[mix]"])
    assert experiment.metrics[0].options.weights["l1"].at(None) == 1


NO_WEIGHT = "loss.weights.l1: a weight is a number from 0 up, or {from: 0.0, to: 0.1, steps: 500}, not "

SENTENCES = {
    "loss.options.sinkhorn.blurr=1": "there is no option 'loss.options.sinkhorn.blurr'; did you mean 'blur'? Choices: ",
    "loss.options.sinkhorn.blur=-1": "loss.options.sinkhorn.blur = -1: input should be greater than 0 (blur: ",
    "loss.options.l1.blur=1": "there is no option 'loss.options.l1.blur'; none is available",
    "loss.options.l2.blur=1": "there is no 'l2' in loss.weights; did you mean 'l1'? Choices: l1, sinkhorn",
    "loss.weights.sinkhorm=1": "there is no loss 'sinkhorm'; did you mean 'sinkhorn'? Choices: ",
    "loss.weights.unet=1": "there is no loss 'unet'; choices: ",
    "loss.weights.mix=1": "loss.weights: mix cannot be a part of mix: name the losses that it is made of",
    "loss.weights.l1=-1": f"{NO_WEIGHT}-1",
    "loss.weights.l1=much": f"{NO_WEIGHT}'much'",
    "loss.weights.l1=.inf": f"{NO_WEIGHT}inf",
    "loss.weights={l1: 0}": "loss.weights: at least one weight must be positive",
    "loss.weights.l1={form: 0, to: 1, steps: 9}": "there is no option 'loss.weights.l1.form'; did you mean 'from'? ",
    "loss.weights.l1={from: 0, to: 1}": "loss.weights.l1.steps: field required (steps: Training step ",
    "loss.weights.l1={from: 0, to: -1, steps: 9}": "loss.weights.l1.to = -1: input should be greater than or equal",
    "loss.option={}": "there is no option 'loss.option'; did you mean 'options'? Choices: weights, options",
}


@pytest.mark.parametrize(("setting", "sentence"), SENTENCES.items(), ids=SENTENCES)
def test_mistake_is_one_sentence(fail, setting, sentence):
    assert fail(setting).startswith(f"--set {setting}: {sentence}")


def test_mistake_in_a_file_names_its_line(fail):
    text = "loss:\n  name: mix\n  weights:\n    sinkhorn: 1\n  options:\n    sinkhorn:\n      blurr: 0.3\n"
    assert fail(text=text).startswith("experiment.yaml:7: there is no option 'loss.options.sinkhorn.blurr'; did you me")


def test_part_that_is_not_installed_is_named():
    registry = Registry.discover()
    del registry.provided["loss", "sinkhorn"]
    with pytest.raises(ConfigError, match=r"^--loss: there is no loss 'sinkhorn'; choices: .*, l1, "):
        resolve(registry, None, MIX)


def test_schema_admits_a_number_and_a_line(registry):
    (mix,) = [one for one in schema(registry)["properties"]["loss"]["oneOf"] if one["title"] == "mix"]
    weight = mix["properties"]["weights"]["additionalProperties"]
    weight = schema(registry)["$defs"][weight["$ref"].rpartition("/")[2]] if "$ref" in weight else weight
    number, line = weight["anyOf"]
    assert number == {"type": "number", "minimum": 0}
    assert set(line["properties"]) == {"from", "to", "steps"}


def test_config_class_takes_what_it_returns():
    config = MixConfig(weights={"l1": 1, "l2": LINE}, options={"l1": {}})
    assert MixConfig(**config.model_dump(mode="json")) == config

"""Merging: who wins, and which source is remembered."""

from __future__ import annotations

import re

import pytest

from edframe.config.sources import Layers
from edframe.errors import ConfigError

DEFAULTS = {"loss": {"name": "sinkhorn"}, "model": {"name": "unet"}}


@pytest.fixture
def layers():
    return Layers(DEFAULTS)


@pytest.fixture
def write(tmp_path):
    def file(text, name="experiment.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


def test_defaults_stay_untouched(layers):
    layers.add_setting("loss.blur=0.2")
    assert DEFAULTS == {"loss": {"name": "sinkhorn"}, "model": {"name": "unet"}}


def test_file_options_join_the_default_block(layers, write):
    layers.add_file(write("loss:\n  blur: 0.2\n"), {"loss"})
    assert layers.values["loss"] == {"name": "sinkhorn", "blur": 0.2}


def test_file_block_with_a_name_replaces_the_default_block(write):
    layers = Layers({"loss": {"name": "sinkhorn", "blur": 0.4}})
    layers.add_file(write("loss: {name: l2}\n"), {"loss"})
    assert layers.values["loss"] == {"name": "l2"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("loss", 2),
        ("loss.name", 3),
        ("loss.levels", 4),
        ("loss.levels.depth", 5),
        ("seed", 6),
        ("loss.levels.width", 4),
    ],
)
def test_every_key_of_a_file_remembers_its_line(layers, write, path, line):
    file = write("# a comment\nloss:\n  name: l2\n  levels:\n    depth: 3\nseed: 1\n")
    layers.add_file(file, {"loss"})
    assert layers.where(path) == f"{file}:{line}"


def test_values_without_a_source_are_defaults(layers):
    assert layers.where("model.widths") == "default"


def test_setting_overrides_and_is_the_source(layers, write):
    layers.add_file(write("loss:\n  blur: 0.2\n"), {"loss"})
    layers.add_setting("loss.blur=0.3")
    assert layers.values["loss"]["blur"] == 0.3
    assert layers.where("loss.blur") == "--set loss.blur=0.3"


def test_block_changed_by_a_setting_has_the_setting_as_source(layers, write):
    layers.add_file(write("loss:\n  blur: 0.2\n"), {"loss"})
    layers.add_setting("loss.coarsen=3")
    assert layers.where("loss") == "--set loss.coarsen=3"


def test_source_of_a_key_is_not_that_of_a_longer_name(layers, write):
    file = write("model: {width: 1}\n")
    layers.add_file(file, {"model"})
    layers.add_setting("model.widths=[3]")
    assert layers.where("model.width") == f"{file}:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("true", True), ("[1, 2]", [1, 2]), ("l2", "l2"), ("'3'", "3"), ("", None), ("a=b", "a=b")],
)
def test_setting_is_read_as_yaml(layers, text, value):
    layers.add_setting(f"key.inner={text}")
    assert layers.values["key"] == {"inner": value}


@pytest.mark.parametrize("setting", ["loss.blur", "=3", "loss..blur=3", ".=3"])
def test_setting_of_another_form_is_an_error(layers, setting):
    with pytest.raises(ConfigError, match="write it as key=value"):
        layers.add_setting(setting)


def test_setting_that_is_not_yaml_is_an_error(layers):
    with pytest.raises(ConfigError, match=r"--set loss\.blur=\[1: '\[1' is not a YAML value"):
        layers.add_setting("loss.blur=[1")


@pytest.mark.parametrize("text", ["[" * 3000 + "]" * 3000, "{a: " * 3000 + "1" + "}" * 3000], ids=["list", "mapping"])
def test_nested_brackets_by_the_thousand_are_an_error(layers, write, text):
    with pytest.raises(ConfigError, match=r"^--set loss\.blur: brackets or blocks are nested too deeply"):
        layers.add_setting(f"loss.blur={text}")
    file = write(f"loss: {text}\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))}: brackets or blocks are nested too deeply"):
        layers.add_file(file, ["loss"])


def test_setting_below_a_value_is_an_error(layers):
    with pytest.raises(ConfigError, match=r"--set loss\.name\.x=1: 'loss\.name' is a value, it has no option 'x'"):
        layers.add_setting("loss.name.x=1")


def test_choosing_replaces_the_whole_block_and_says_so(layers, write):
    file = write("loss:\n  name: sinkhorn\n  blur: 0.2\n  coarsen: 2\n")
    layers.add_file(file, {"loss"})
    note = layers.choose("loss", "l2")
    assert layers.values["loss"] == {"name": "l2"}
    assert note == f"--loss l2 replaces the whole loss block of {file}:1, with blur, coarsen"
    assert layers.where("loss.blur") == "--loss"


def test_choosing_what_is_chosen_keeps_its_options(layers, write):
    layers.add_file(write("loss:\n  blur: 0.2\n"), {"loss"})
    assert layers.choose("loss", "sinkhorn") is None
    assert layers.values["loss"] == {"name": "sinkhorn", "blur": 0.2}


def test_choosing_over_a_bare_name_drops_nothing_and_says_nothing(layers):
    assert layers.choose("loss", "l2") is None


def test_empty_file_changes_nothing(layers, write):
    layers.add_file(write("# only a comment\n"), {"loss"})
    assert layers.values == DEFAULTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss:\n\tname: l2\n", r"experiment\.yaml:2: there is a tab in the indentation"),
        ("seed: 1\nloss: {name: l2\n", r"experiment\.yaml:3: not valid YAML: .*check indentation and colons"),
        ("seed: 1\nseed: 2\n", r"experiment\.yaml:2: 'seed' is given twice"),
        ("loss:\n  blur: 1\n  name: l2\n  blur: 2\n", r"experiment\.yaml:4: 'blur' is given twice"),
        ("- loss\n", r"experiment\.yaml:1: a config is a mapping"),
        ("loss\n", r"experiment\.yaml:1: a config is a mapping"),
        ("seed: 1\n---\nseed: 2\n", r"experiment\.yaml:2: not valid YAML"),
        ("seed: !!python/object/apply:os.getcwd []\n", r"experiment\.yaml:1: not valid YAML"),
    ],
    ids=["tab", "unclosed", "twice", "twice inside", "list", "text", "two documents", "python object"],
)
def test_malformed_file_is_an_error_at_its_line(layers, write, text, message):
    with pytest.raises(ConfigError, match=message):
        layers.add_file(write(text), {"loss"})


def test_missing_file_is_an_error_with_the_nearest_name(layers, write):
    near = write("seed: 1\n", name="li-o-li.yaml")
    with pytest.raises(ConfigError, match=r"no such file; did you mean .*li-o-li\.yaml\?"):
        layers.add_file(near.with_name("lioli.yaml"), {"loss"})


def test_missing_file_without_a_near_name(layers, tmp_path):
    with pytest.raises(ConfigError, match="no such file; give the path"):
        layers.add_file(tmp_path / "absent.yaml", {"loss"})


def test_folder_is_not_a_file(layers, tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as text"):
        layers.add_file(tmp_path, {"loss"})


def test_binary_is_not_text(layers, tmp_path):
    (tmp_path / "density.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match=r"density\.yaml: cannot be read as text"):
        layers.add_file(tmp_path / "density.yaml", {"loss"})


def test_a_mapping_is_given_as_a_whole_or_only_within(layers, write):
    layers.add_setting("loss.weights.l1=2")
    assert not layers.gave("loss.weights")
    layers.add_setting("loss.weights={l2: 1}")
    assert layers.gave("loss.weights")
    layers.add_file(write("model:\n  levels:\n    depth: 3\n"), {"model"})
    assert layers.gave("model.levels")

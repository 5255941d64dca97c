"""``edframe config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"
ARGUMENTS = ["--loss", "sinkhorn", "--set", "training.steps=7", "--set", "model.widths=[4, 8, 16, 32]"]


def test_shown_config_fed_back_gives_the_same(edframe, tmp_path):
    first = edframe("config", "show", *ARGUMENTS, "--fold", 2, "--device", "cpu")
    assert (first.code, first.err) == (0, "")
    values = yaml.safe_load(first.out)
    assert values["training"]["steps"] == 7
    assert (values["splits"]["fold"], values["device"]) == (2, "cpu")
    (tmp_path / "config.yaml").write_text(first.out)
    again = edframe("config", "show", tmp_path / "config.yaml")
    assert (again.out, again.err) == (first.out, "")


def test_replaced_block_is_said_on_stderr(edframe, tmp_path):
    (tmp_path / "config.yaml").write_text("loss:\n  name: sinkhorn\n  blur: 0.5\n")
    result = edframe("config", "show", tmp_path / "config.yaml", "--loss", "l2")
    assert result.err == (f"Note: --loss l2 replaces the whole loss block of {tmp_path}/config.yaml:1, with blur.\n")
    assert yaml.safe_load(result.out)["loss"] == {"name": "l2"}


def resolved(schema, document):
    return document["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def check(value, schema, document, path=""):
    """That every key of ``value`` is in the schema with a type that admits it: enough of JSON Schema for a config."""
    schema = resolved(schema, document)
    if "oneOf" in schema:
        (schema,) = [one for one in schema["oneOf"] if one["properties"]["name"]["const"] == value["name"]]
    if "anyOf" in schema:
        kinds = [resolved(one, document).get("type") for one in schema["anyOf"]]
        assert kind(value) & set(kinds), path
        return
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema["additionalProperties"]
        assert set(schema.get("required", [])) <= set(value), path
        for key, inner in value.items():
            assert key in known or others, f"{path}.{key}"
            if (where := known.get(key, others)) is not True:
                check(inner, where, document, f"{path}.{key}")
    elif "const" in schema or "enum" in schema:
        assert value in schema.get("enum", [schema.get("const")]), path
    else:
        assert schema["type"] in kind(value), path


def kind(value):
    names = {bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, str: {"string"}, list: {"array"},
             dict: {"object"}}  # fmt: skip
    return names.get(type(value), {"null"})


@pytest.fixture(scope="module")
def document(edframe):
    result = edframe("config", "schema")
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


@pytest.mark.parametrize("arguments", [[], ARGUMENTS, ["--loss", "l2", "--featurizer", "gaussian"]])
def test_shown_config_satisfies_the_schema(edframe, document, arguments):
    check(yaml.safe_load(edframe("config", "show", *arguments).out), document, document)


@pytest.mark.parametrize("recipe", sorted(CONFIGS.rglob("*.yaml")), ids=lambda recipe: recipe.stem)
def test_recipes_satisfy_the_schema(document, recipe):
    """An editor that has it marks nothing in them."""
    check(yaml.safe_load(recipe.read_text(encoding="utf-8")), document, document)


def test_check_would_see_a_key_and_a_type_that_do_not_belong(edframe, document):
    values = yaml.safe_load(edframe("config", "show").out)
    for wrong in ({**values, "seeds": 1}, {**values, "seed": "one"}, {**values, "training": {"step": 1}}):
        with pytest.raises(AssertionError):
            check(wrong, document, document)


def test_schema_describes_every_key_for_editors(document):
    assert set(document["properties"]) == {
        "name", "data", "featurizer", "model", "loss", "metrics", "splits", "training", "seed", "device", "compare",
    }  # fmt: skip
    training = resolved(document["properties"]["training"], document)
    assert all(option.get("description") for option in training["properties"].values())

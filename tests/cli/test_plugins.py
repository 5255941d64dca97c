"""``edframe plugins``."""

from __future__ import annotations

import json

import pytest

from edframe.contract.registry import Registry


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    """A folder with a plugin that prints when it is imported and when its hook is called."""
    site = tmp_path_factory.mktemp("talking")
    (site / "edframe_test_talking.py").write_text(
        "from edframe.plugin import Component, ComponentConfig, hookimpl\n"
        "print('welcome')\n"
        "@hookimpl\n"
        "def edframe_losses():\n"
        "    print('and again')\n"
        "    return [Component('loss', 'talking', 'made for a test', ComponentConfig, 'builtins:dict', 1)]\n"
    )
    folder = site / "edframe_test_talking-1.2.3.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: edframe-test-talking\nVersion: 1.2.3\n")
    (folder / "entry_points.txt").write_text("[edframe]\ntalking = edframe_test_talking\n")
    return site


def test_every_component_is_listed_with_its_distribution(edframe):
    result = edframe("plugins")
    assert (result.code, result.err) == (0, "")
    for name, owner in (("unet", "edframe-unet"), ("sinkhorn", "edframe-sinkhorn"), ("li-o-li", "edframe-pyscf")):
        assert name in result.out
        assert owner in result.out


def test_plugins_that_cannot_be_used_are_listed_with_the_reason(process, target):
    result = process("plugins", PYTHONPATH=str(target))
    assert (result.code, result.err) == (0, "")
    flat = " ".join(result.out.split())
    for sentence in (
        "conflict: loss 'twin' is provided by edframe-test-twin-a and edframe-test-twin-b;",
        "broken: edframe-test-unimportable: it fails to import (ModuleNotFoundError: No module named",
        "broken: edframe-test-raising: it fails to import (ValueError: no licence)",
        "broken: edframe-test-leaving: it ends the program when it is imported (SystemExit: no licence)",
        "broken: edframe-test-misspelt: it has a hook 'edframe_loses' that edframe does not know; did you mean",
        "broken: edframe-test-newer: loss 'unseen' was written for API 99 and this edframe has API 1: upgrade edframe",
        "broken: edframe-test-older: loss 'unseen' was written for API 0 and this edframe has API 1",
    ):
        assert sentence in flat
    assert "healthy" in flat


def test_plugin_that_prints_is_named_and_works(process, talking):
    result = process("plugins", PYTHONPATH=str(talking))
    assert (result.code, result.err) == (0, "welcome\nand again\n")
    assert "prints: edframe-test-talking: it prints when it is imported ('welcome')" in result.out
    assert "│ talking" in result.out


@pytest.mark.parametrize(
    ("site", "said", "known"),
    [("talking", "welcome\n", True), ("target", "Note: edframe-test-leaving is left out: it ends the program", False)],
)
def test_schema_is_json_whatever_a_plugin_does(process, request, site, said, known):
    result = process("config", "schema", PYTHONPATH=str(request.getfixturevalue(site)))
    assert result.code == 0
    losses = {one["title"] for one in json.loads(result.out)["properties"]["loss"]["oneOf"]}
    assert ("talking" in losses) is known
    assert "sinkhorn" in losses
    assert said in result.err


def test_component_is_shown_with_its_options_defaults_and_references(edframe):
    result = edframe("plugins", "show", "sinkhorn")
    assert (result.code, result.err) == (0, "")
    provided = Registry.discover().find("loss", "sinkhorn")
    flat = " ".join(result.out.split())
    assert flat.startswith(f"loss sinkhorn ({provided.distribution} {provided.version})")
    for option in provided.component.config.model_fields:
        assert f"loss.{option}" in flat
    assert provided.component.references[0].split("{")[1].split(",")[0] in flat


def test_unknown_component_suggests_the_nearest(edframe):
    result = edframe("plugins", "show", "sinkhron")
    assert result.code == 2
    assert result.err.startswith("Error: there is no component 'sinkhron'; did you mean 'sinkhorn'?")
    assert "`edframe plugins` lists all, and every plugin that is broken." in result.err


def test_component_that_two_plugins_provide_is_explained(process, target):
    result = process("plugins", "show", "twin", PYTHONPATH=str(target))
    assert result.code == 2
    assert "loss 'twin' is provided by both edframe-test-twin-a 1.2.3 and edframe-test-twin-b 1.2.3" in result.err
    assert result.err.count("\n") == 1


def test_new_makes_a_folder_and_says_what_comes_next(edframe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = edframe("plugins", "new", "loss", "my-loss")
    assert (result.code, result.err) == (0, "")
    assert (tmp_path / "edframe-my-loss" / "src" / "edframe_my_loss" / "loss.py").is_file()
    assert result.out.splitlines()[1:] == [
        "  pip install -e ./edframe-my-loss", "  edframe plugins check my-loss", "  edframe run --loss my-loss",
    ]  # fmt: skip
    again = edframe("plugins", "new", "loss", "my-loss")
    assert (again.code, again.err.count("\n")) == (2, 1)


def test_check_has_a_line_for_each_check(edframe):
    from edframe.testing import checks

    result = edframe("plugins", "check", "l1")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1:-1] == [f"  passed  {check}" for check in checks("loss")]


def test_check_fails_where_a_component_does(process, target):
    result = process("plugins", "check", "healthy", PYTHONPATH=str(target))  # its factory makes no loss
    assert (result.code, result.err) == (1, "")
    assert "  passed  name_is_kebab_case\n" in result.out
    assert "  failed  unit_is_named: TypeError: BaseModel.__init__() takes 1" in result.out


def test_check_of_a_broken_distribution_fails_with_the_reason(process, target):
    result = process("plugins", "check", "edframe-test-raising", PYTHONPATH=str(target))
    assert (result.code, result.err) == (1, "")
    assert result.out == "broken: edframe-test-raising: it fails to import (ValueError: no licence)\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["l3"], "there is no component and no distribution 'l3'; did you mean 'l2'?"),
        (
            ["l1", "--set", "data.grid=12"],
            "--set data.grid=12: only options of what is checked can be set: write loss.",
        ),
        (
            ["sinkhorn", "--set", "loss.blurr=1"],
            "the options: there is no option 'options.blurr'; did you mean 'blur'?",
        ),
    ],
)
def test_check_of_what_is_not_there_is_one_sentence(edframe, arguments, sentence):
    result = edframe("plugins", "check", *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith(f"Error: {sentence}")

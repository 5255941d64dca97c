"""``edframe export`` and trained models by name: a run, exported, built as a wheel and put on the path."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import flit_core.buildapi
import numpy as np
import pytest
from pymatgen.core.structure import Structure

from edframe import io
from edframe.contract.registry import Registry
from edframe.errors import PluginError, RunError
from edframe.plugin import Pretrained, hookimpl
from edframe.predict import pretrained

DOMAIN = 'Li–O–Li near its minimum, a "test" <of> this.'


@pytest.fixture(scope="module")
def distribution(edframe, finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    with contextlib.chdir(folder):
        result = edframe("export", finished, "tried", "--domain", DOMAIN)
    assert (result.code, result.err) == (0, "")
    return folder / "edframe-tried"


@pytest.fixture(scope="module")
def site(distribution, tmp_path_factory):
    """Where the wheel of the exported model is installed: on the path, while the tests of this module run."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    with contextlib.chdir(distribution):
        wheel = flit_core.buildapi.build_wheel(str(wheels))
    zipfile.ZipFile(wheels / wheel).extractall(site)
    sys.path.insert(0, str(site))
    yield site
    sys.path.remove(str(site))


@pytest.fixture
def poscar(tmp_path):
    place = tmp_path / "POSCAR"
    positions = [[1.9, 3.6, 3.6], [3.6, 3.6, 3.6], [5.2, 3.7, 3.6]]
    Structure(np.eye(3) * 7.2, ["Li", "O", "Li"], positions, coords_are_cartesian=True).to(str(place), fmt="poscar")
    return place


def density(file):
    return io.read(file).fields["total"]


def test_the_model_predicts_what_its_run_does_by_name_and_by_elements(
    edframe, finished, site, poscar, tmp_path, monkeypatch
):
    asked = []

    def covering(registry, species):
        asked.append(species)
        return registry.model("tried")

    monkeypatch.setattr(pretrained, "covering", covering)
    for number, model in enumerate([[finished], ["tried"], []]):
        result = edframe("predict", *model, poscar, tmp_path / f"{number}.cube")
        assert (result.code, result.err) == (0, "")
    assert asked == [{"Li", "O"}]
    assert "model: tried 1 (edframe-tried 1.0.0), trained on the level " in result.out
    np.testing.assert_array_equal(density(tmp_path / "1.cube"), density(tmp_path / "0.cube"))
    np.testing.assert_array_equal(density(tmp_path / "2.cube"), density(tmp_path / "0.cube"))


def test_from_python(site, poscar, finished):
    import edframe

    ours, theirs = edframe.load("tried")(poscar), edframe.load(finished)(poscar)
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_it_is_listed_and_shown_with_the_errors_of_its_run(edframe, finished, site):
    listed = edframe("models")
    assert listed.code == 0
    assert re.search(r"│ tried 1 +│ Li O +│", listed.out)
    shown = edframe("models", "show", "tried")
    assert (shown.code, shown.err) == (0, "")
    results = [json.loads(line) for line in (finished / "metrics.jsonl").read_text(encoding="utf-8").splitlines()][-1]
    metric = results["metrics"]["nmae"]
    assert f"| nmae | {metric['unit']} | {metric['mean']:.3g} |" in shown.out
    assert DOMAIN in shown.out
    assert "files as its distribution states" in shown.out


def test_nothing_of_this_machine_is_in_it(distribution, finished):
    assert [file for file in distribution.rglob("*") if file.is_file() and b"command" in file.read_bytes()] == []
    for file in distribution.rglob("*"):
        assert not file.is_file() or str(finished.parent).encode() not in file.read_bytes()


def test_a_changed_weight_is_refused_before_it_is_read(edframe, site, poscar, tmp_path):
    weights = site / "edframe_tried" / "model" / "checkpoints" / "best.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        result = edframe("predict", "tried", poscar, tmp_path / "density.cube")
    finally:
        weights.write_bytes(whole)
    assert result.code == 2
    assert f"{weights} was changed, its SHA-256 is " in result.err.replace("\n", "")
    assert not (tmp_path / "density.cube").exists()


def test_its_own_test_passes(site, distribution, monkeypatch):
    scope = {}
    exec((distribution / "tests" / "test_model.py").read_text(encoding="utf-8"), scope)
    scope["test_the_model_opens_by_its_name"]()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "treid", "POSCAR", "a.cube"], "nor the name of an installed model; did you mean 'tried'"),
        (["predict", "POSCRA", "a.cube"], "POSCRA: there is no such file, no such run"),
        (["predict", "frames/POSCRA", "a.cube"], "frames/POSCRA: there is no such file, no such run"),
        (["predict", "heavy.xyz", "a.cube"], "no installed model covers Au (li-o-li: Li, O; molecules-hcnof: H, "),
        (["predict", "POSCAR", "a.cube", "b.cube"], "give a structure and the file to write, not 3 paths"),
        (["models", "show", "treid"], "there is no trained model 'treid'; did you mean 'tried'"),
        (["export", "FINISHED", "tried", "--domain", "x"], "tried 1 (edframe-tried 1.0.0) has that name"),
        (["export", "FINISHED", "Tried", "--domain", "x"], "'Tried' cannot be a name"),
        (["export", "FINISHED", "sinkhorn", "--domain", "x"], "there is a distribution edframe-sinkhorn already"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, edframe, finished, site, poscar):
    (poscar.parent / "heavy.xyz").write_text("1\n\nAu 0 0 0\n")
    with contextlib.chdir(poscar.parent):
        before = sorted(Path().iterdir())
        result = edframe(*[finished if word == "FINISHED" else word for word in arguments])
        assert sorted(Path().iterdir()) == before
    assert result.code == 2
    assert sentence in result.err.replace("\n", " ")


def test_an_unfinished_run_is_not_exported(edframe, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    place = tmp_path / "run" / "provenance.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"status": "running"}))
    with contextlib.chdir(tmp_path):
        result = edframe("export", "run", "unfinished", "--domain", "x")
    assert (result.code, "is running, not finished" in result.err) == (2, True)
    assert not (tmp_path / "edframe-unfinished").exists()


GIVEN = Pretrained(
    "small", "1", "a model", "https://example.org/small/", {"config.yaml": "0" * 64}, ("H",), "water", "MIT", "m:c.md"
)


def test_of_several_models_that_of_the_fewest_elements_is_taken():
    registry = Registry()
    sets = {"broad": ("H", "C", "O"), "b": ("H", "O"), "a": ("H", "O"), "narrow": ("H",)}
    records = [replace(GIVEN, name=name, species=species) for name, species in sets.items()]
    registry.add(shipping(*records), "edframe-several", "1.0")
    for species, name in (({"H"}, "narrow"), ({"O"}, "a"), ({"C", "H"}, "broad")):
        assert pretrained.covering(registry, species).model.name == name
    with pytest.raises(PluginError, match="no installed model covers He, O"):
        pretrained.covering(registry, {"O", "He"})


def shipping(*records):
    return SimpleNamespace(edframe_pretrained=hookimpl(lambda: records))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "Small"}, "lower case letters"),
        ({"files": {"config.yaml": "abc"}}, "needs its SHA-256"),
        ({"files": {}}, "needs its SHA-256"),
        ({"files": {"../config.yaml": "0" * 64}}, "no '..'"),
        ({"source": "http://example.org/"}, "https"),
        ({"source": "folder"}, "package:folder"),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(changes, reason):
    with pytest.raises(PluginError, match=re.escape(reason)):
        Registry().add(shipping(replace(GIVEN, **changes)), "edframe-small", "1.0")


def test_files_from_an_address_are_fetched_once_and_checked(tmp_path, monkeypatch):
    registry, content = Registry(), b"a: 1\n"
    registry.add(shipping(replace(GIVEN, files={"config.yaml": hashlib.sha256(content).hexdigest()})), "edframe-s", "1")
    monkeypatch.setenv("EDFRAME_CACHE", str(tmp_path))
    monkeypatch.setenv(pretrained.OFFLINE, "1")
    with pytest.raises(RunError, match=r"config.yaml would be fetched from https://example.org/small/"):
        pretrained.folder_of(registry.model("small"))
    fetched = []

    class Pooch:
        @staticmethod
        def retrieve(url, known_hash, fname, path):
            fetched.append((url, known_hash.partition(":")[0]))
            path.mkdir(parents=True)
            (path / fname).write_bytes(content)

    monkeypatch.delenv(pretrained.OFFLINE)
    monkeypatch.setitem(sys.modules, "pooch", Pooch)
    for _ in range(2):
        folder = pretrained.folder_of(registry.model("small"))
    assert fetched == [("https://example.org/small/config.yaml", "sha256")]
    (folder / "config.yaml").write_bytes(b"a: 2\n")
    with pytest.raises(RunError, match="was changed"):
        pretrained.folder_of(registry.model("small"))


@pytest.fixture
def several(tmp_path):
    """A distribution without a model yet."""
    module = tmp_path / "edframe-several" / "src" / "edframe_several"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    return tmp_path / "edframe-several"


def test_a_model_joins_a_distribution_of_several(edframe, finished, several):
    asked = ("export", finished, "joined", "--domain", DOMAIN, "--into", several)
    assert (edframe(*asked).code, edframe(*asked).code) == (0, 0)
    folder = several / "src" / "edframe_several" / "joined"
    record = Pretrained(**json.loads((folder / "record.json").read_text(encoding="utf-8")))
    assert (record.version, record.source, record.domain) == ("1", "edframe_several:joined", DOMAIN)
    for name, checksum in record.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    assert DOMAIN in (folder / "card.md").read_text(encoding="utf-8")


def test_another_run_of_that_name_is_another_version_and_keeps_the_card(edframe, finished, several):
    asked = ("export", finished, "joined", "--domain", DOMAIN, "--into", several)
    assert edframe(*asked).code == 0
    folder = several / "src" / "edframe_several" / "joined"
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["files"] = {"old.safetensors": "0" * 64}
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "old.safetensors").touch()
    (folder / "card.md").write_text("# Mine", encoding="utf-8")
    assert edframe(*asked).code == 0
    assert json.loads((folder / "record.json").read_text(encoding="utf-8"))["version"] == "2"
    assert not (folder / "old.safetensors").exists()
    assert (folder / "card.md").read_text(encoding="utf-8") == "# Mine"


def test_a_folder_without_a_package_takes_no_model(edframe, finished, tmp_path):
    result = edframe("export", finished, "joined", "--domain", DOMAIN, "--into", tmp_path)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "is not the folder of a distribution with one package" in result.err

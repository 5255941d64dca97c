"""What `make dist` builds: complete, of one version, and able to run the quick recipe away from the repository."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import units
from ase.io.cube import read_cube

ROOT = Path(__file__).parents[1]
PROJECTS = {
    tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"]: file
    for file in [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder that `make dist` filled, with the Python of the tests."""
    folder = tmp_path_factory.mktemp("dist")
    binaries = Path(sys.executable).parent
    command = ["make", "--old-file=install", "dist", f"DIST={folder}", f"BIN={binaries}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder


def environment(folder, *arguments):
    """An environment with the wheels of a folder; its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, *map(str, arguments)], check=True)
    return python


def run_quick(python, folder, *settings):
    """`edframe run` with the quick recipe in an empty folder; the directory of the run."""
    shutil.copy(ROOT / "configs" / "quick.yaml", folder)
    code = "import edframe, edframe_unet; print(edframe.__file__, edframe_unet.__file__)"
    where = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert all(Path(name).is_relative_to(python.parents[1]) for name in where.split())
    command = [python.with_name("edframe"), "run", "quick.yaml", "--device", "cpu", *settings]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return run


def test_there_is_a_wheel_and_an_sdist_of_each_distribution(dist):
    versions = {name: tomllib.loads(file.read_text())["project"]["version"] for name, file in PROJECTS.items()}
    stems = {f"{name.replace('-', '_')}-{version}" for name, version in versions.items()}
    assert {path.name for path in dist.iterdir()} == {
        *(f"{stem}-py3-none-any.whl" for stem in stems), *(f"{stem}.tar.gz" for stem in stems)
    }  # fmt: skip


def test_all_versions_and_dates_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    projects = [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in PROJECTS.values()]
    assert {project["version"] for project in projects} == {citation["version"]}
    dated = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert dated.groups() == (citation["version"], str(citation["date-released"]))


@pytest.mark.parametrize("name", PROJECTS)
def test_each_has_its_licence_and_all_modules_and_data(dist, name):
    module, source = name.replace("-", "_"), PROJECTS[name].parent / ("" if name == "edframe" else "src")
    tracked = subprocess.run(["git", "ls-files", module], cwd=source, capture_output=True, text=True, check=True)
    files = set(tracked.stdout.split())
    assert f"{module}/__init__.py" in files
    with zipfile.ZipFile(next(dist.glob(f"{module}-*.whl"))) as wheel:
        assert files <= set(wheel.namelist())
        assert any(inside.endswith("licenses/LICENSE") for inside in wheel.namelist())
        (metadata,) = (inside for inside in wheel.namelist() if inside.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
    assert "Classifier: Programming Language :: Python :: 3.11" in text
    with tarfile.open(next(dist.glob(f"{module}-*.tar.gz"))) as sdist:
        inside = {member.name.partition("/")[2].removeprefix("src/") for member in sdist.getmembers()}
    assert files | {"LICENSE", "pyproject.toml", "README.md"} <= inside


def test_installed_wheels_run_the_quick_recipe_away_from_the_repository(dist, tmp_path):
    """With the dependencies of this environment, which are found after the installed wheels."""
    python = environment(tmp_path / "env", "--no-index", "--no-deps", *dist.glob("*.whl"))
    (site,) = (tmp_path / "env" / "lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    short = ("--set", "training.steps=4", "--set", "data.samples=16", "--set", "splits.validation=2")
    run = run_quick(python, tmp_path, *short)
    assert (run / "report.html").exists()


@pytest.fixture(scope="module")
def python(dist, tmp_path_factory):
    """The Python of an environment in which a user gave `pip install edframe[all]`: here from the folder of wheels, in
    the versions that are tested.
    """
    wheels = ("--find-links", dist, "--constraint", ROOT / "constraints.txt", "edframe[all]")
    return environment(tmp_path_factory.mktemp("empty") / "env", *wheels)


@pytest.mark.slow
def test_wheels_and_their_dependencies_in_an_empty_environment_run_the_quick_recipe(python, tmp_path):
    run = run_quick(python, tmp_path)
    assert (run / "report.html").exists()


@pytest.fixture(scope="module")
def offline(dist, tmp_path_factory):
    """The Python of an environment with the wheels of edframe-models and what it needs of edframe, installed without an
    index; other dependencies are those of this environment, which are found after them."""
    folder = tmp_path_factory.mktemp("offline")
    stated = tomllib.loads(PROJECTS["edframe-models"].read_text(encoding="utf-8"))["project"]["dependencies"]
    needed = ["edframe-models", *(re.match(r"[\w-]+", text)[0] for text in stated if text.startswith("edframe"))]
    wheels = [next(dist.glob(f"{name.replace('-', '_')}-*.whl")) for name in needed]
    python = environment(folder / "env", "--no-index", "--no-deps", *wheels)
    (site,) = (folder / "env" / "lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def away(tmp_path):
    """What a command gets where no address can be reached, and the cache is empty."""
    dead = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    return {"PATH": "", "HOME": str(tmp_path), "EDFRAME_CACHE": str(tmp_path / "cache"), **dead}


@pytest.mark.slow
def test_a_model_that_ships_predicts_from_its_wheel_without_network(offline, away, tmp_path):
    """Methane from xyz to a cube that ASE reads: 8 valence electrons, and no dipole, by symmetry."""
    edge = 1.087 / 3**0.5
    places = [(0, 0, 0), *((x * edge, y * edge, x * y * edge) for x in (1, -1) for y in (1, -1))]
    lines = [f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in zip("CHHHH", places, strict=True)]
    (tmp_path / "methane.xyz").write_text("\n".join(["5", "", *lines]) + "\n", encoding="utf-8")
    command = [offline.with_name("edframe"), "predict", "methane.xyz", "methane.cube", "--spacing", "0.15"]
    done = subprocess.run(command, cwd=tmp_path, env=away, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model: molecules-hcnof")
    with (tmp_path / "methane.cube").open() as file:
        cube = read_cube(file)
    density, atoms = cube["data"] / units.Bohr**3, cube["atoms"]
    points = np.indices(density.shape).reshape(3, -1).T / density.shape @ atoms.cell.array
    held = density.ravel() * atoms.cell.volume / density.size
    assert held.sum() == pytest.approx(8, abs=1e-4)
    centre = cube["origin"] + held @ points / held.sum()
    np.testing.assert_allclose(centre, atoms.positions[0], atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("li-o-li/checkpoints/best.safetensors", ["models", "show", "li-o-li"]),
        ("molecules-hcnof/checkpoints/featurizer.safetensors", ["predict", "h2.xyz", "h2.cube"]),
        ("molecules-hcnof/config.yaml", ["predict", "molecules-hcnof", "h2.xyz", "h2.cube"]),
    ],
)
def test_a_changed_file_is_refused_in_that_environment(file, command, offline, away, tmp_path):
    (tmp_path / "h2.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n", encoding="utf-8")
    (place,) = offline.parents[1].glob(f"lib/*/site-packages/edframe_models/{file}")
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        command = [offline.with_name("edframe"), *command]
        done = subprocess.run(command, cwd=tmp_path, env=away, capture_output=True, text=True)
    finally:
        place.write_bytes(content)
    assert done.returncode == 2
    assert f"{place.name} was changed, its SHA-256 is" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "h2.cube").exists()


@pytest.mark.slow
def test_an_ion_is_predicted_with_a_warning_in_that_environment(offline, away, tmp_path):
    (tmp_path / "h3.xyz").write_text("3\n\nH 0 0 0\nH 0 0 0.87\nH 0 0.75 0.435\n", encoding="utf-8")
    command = [offline.with_name("edframe"), "predict", "h3.xyz", "h3.cube", "--charge", "1", "--spacing", "0.3"]
    done = subprocess.run(command, cwd=tmp_path, env=away, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "has a charge of +1 e, and the model was trained on neutral structures" in " ".join(done.stderr.split())


def test_the_wheel_of_the_models_is_small_and_has_their_records(dist):
    (wheel,) = dist.glob("edframe_models-*.whl")
    assert wheel.stat().st_size < 10e6
    with zipfile.ZipFile(wheel) as file:
        records = [json.loads(file.read(name)) for name in file.namelist() if name.endswith("/record.json")]
        assert {record["name"] for record in records} == {"li-o-li", "molecules-hcnof"}
        for record in records:
            for name, checksum in record["files"].items():
                content = file.read(f"{record['source'].replace(':', '/')}/{name}")
                assert hashlib.sha256(content).hexdigest() == checksum


@pytest.mark.slow
def test_wheels_of_third_parties_are_checked_and_train_in_that_environment(python, tmp_path):
    """A loss, a model and a featurizer that the installed edframe made, each built and installed as a wheel."""
    edframe, wheels = python.with_name("edframe"), tmp_path / "wheels"
    made = {"loss": "lawful", "model": "modest", "featurizer": "faithful"}
    for kind, name in made.items():
        subprocess.run([edframe, "plugins", "new", kind, name], cwd=tmp_path, check=True, capture_output=True)
        build = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
        wheels.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", build, wheels], cwd=tmp_path / f"edframe-{name}", check=True)
    assert len(list(wheels.iterdir())) == 3
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", *wheels.iterdir()]
    subprocess.run([*map(str, install), "--disable-pip-version-check"], check=True)
    for kind, name in made.items():
        command = [edframe, "plugins", "check", f"edframe-{name}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{kind} '{name}' of edframe-{name} 0.1.0:")
        assert done.stdout.endswith(" passed, 0 failed, 0 skipped\n")
    run = run_quick(python, tmp_path, *(word for kind, name in made.items() for word in (f"--{kind}", name)))
    first, last = (read_losses(run)[i] for i in (0, -1))
    assert last < first
    assert {kind: yaml.safe_load((run / "config.yaml").read_text())[kind]["name"] for kind in made} == made
    assert (run / "report.html").exists()


def read_losses(run):
    """The mean of the loss at each validation."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event["loss"] for event in events if event["event"] == "validation"]

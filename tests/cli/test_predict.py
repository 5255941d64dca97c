"""``edframe predict``: what it writes is what the run itself predicted for the same atoms."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from pymatgen.core.structure import Structure
from safetensors import safe_open

from edframe import io
from edframe.grid import Grid
from edframe.runs.directory import Run


@pytest.fixture
def kept(finished):
    """A test sample of the run: its structure, and what the run predicted for it."""
    with safe_open(finished / "predictions" / "median.safetensors", framework="numpy") as file:
        facts = {key: json.loads(file.metadata()[key]) for key in ("grid", "species", "positions")}
        structure = Structure(facts["grid"]["cell"], facts["species"], facts["positions"], coords_are_cartesian=True)
        return structure, file.get_tensor("predicted")


@pytest.mark.parametrize("name", ["density.cube", "CHGCAR", "density.xsf"])
def test_a_prediction_is_that_of_the_run(name, edframe, finished, kept, tmp_path):
    structure, _ = kept
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    # The run's grid of 12 points is no multiple of 8; a spacing of 7.2/16 Å is asked for and gives 16.
    result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / name, "--spacing", "0.45")
    assert (result.code, result.err) == (0, "")
    said = re.escape(f"{tmp_path / name}: 12 electrons on 16×16×16 points, ")
    assert re.fullmatch(rf"{said}\d+\.\d s, distance 0\.\d\d\n", result.out)
    volume = io.read(tmp_path / name)
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(12, rel=1e-5)
    np.testing.assert_allclose(volume.structure.lattice.abc, 7.2, atol=1e-5)


def test_the_error_that_is_expected_is_said(edframe, finished, kept, tmp_path, monkeypatch):
    from edframe.predict.predictor import Predictor

    monkeypatch.setattr(Predictor, "expected", lambda self, sample: 1.234)
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "density.cube", "--spacing", "0.45")
    assert result.out.endswith(", expected NMAE 1.2 %\n")


def test_on_the_grid_of_the_run_the_density_is_the_same(finished, kept):
    from edframe.cli import options
    from edframe.contract.registry import Registry
    from edframe.predict import predictor
    from edframe.runs.directory import Run

    registry = Registry.discover()
    experiment = options.resolved(registry, finished / "config.yaml", {})
    structure, predicted = kept
    sample = predictor.Predictor(Run.open(finished), experiment, registry, "cpu")(structure, shape=predicted.shape[1:])
    assert sample.density.shape == predicted.shape
    np.testing.assert_allclose(sample.density, predicted, rtol=1e-5, atol=1e-6)


def write_density(path, structure, shape, origin=(0.0, 0.0, 0.0)):
    values = {"total": np.random.default_rng(0).random(shape)}
    io.write(path, io.Volume(structure, Grid.of(structure.lattice.matrix, shape), values, origin=origin))


@pytest.mark.parametrize("name", ["CHGCAR", "density.cube", "density.xsf"])
@pytest.mark.parametrize("shape", [(20, 20, 20), (12, 9, 10)])
def test_the_grid_of_a_file_is_kept(name, shape, edframe, finished, kept, tmp_path):
    write_density(tmp_path / name, kept[0], shape, origin=(0.5, -0.25, 1.0) if name != "CHGCAR" else (0.0, 0.0, 0.0))
    result = edframe("predict", finished, tmp_path / name, tmp_path / f"predicted_{name}")
    assert (result.code, result.err) == (0, "")
    before, after = io.read(tmp_path / name), io.read(tmp_path / f"predicted_{name}")
    assert after.grid.shape == shape
    assert after.fields["total"].sum() * after.grid.voxel_volume == pytest.approx(12, rel=1e-5)
    np.testing.assert_allclose(after.origin, before.origin, atol=1e-6)
    np.testing.assert_allclose(after.structure.cart_coords, before.structure.cart_coords, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        (["--grid", 18, 16, 14], (18, 16, 14)),
        (["--like", "other.cube"], (7, 8, 9)),
        (["--spacing", 0.45], (16, 16, 16)),
    ],
)
def test_another_grid_is_given_where_it_is_asked_for(asked, shape, edframe, finished, kept, tmp_path):
    write_density(tmp_path / "CHGCAR", kept[0], (10, 10, 10))
    write_density(tmp_path / "other.cube", kept[0], (7, 8, 9))
    words = [tmp_path / word if word == "other.cube" else word for word in asked]
    result = edframe("predict", finished, tmp_path / "CHGCAR", tmp_path / "predicted.cube", *words)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{tmp_path / 'predicted.cube'}: 12 electrons on {'×'.join(map(str, shape))} points, ")
    assert io.read(tmp_path / "predicted.cube").grid.shape == shape


def test_a_grid_that_is_not_there_or_asked_for_twice_is_refused(edframe, finished, kept, tmp_path):
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    kept[0].to(str(tmp_path / "li.vasp"), fmt="poscar")
    for words, sentence in [
        (["--grid", 8, 8, 8, "--spacing", 0.3], "--grid and --spacing both choose the grid; give one of them"),
        (["--grid", 8, 0, 8], "--grid 8 0 8: a grid has 1 to 10000 points along an axis"),
        (["--like", tmp_path / "li.vasp"], "li.vasp has no grid; give a CHGCAR, cube, …"),
        (["--like", tmp_path / "POSCAR"], "POSCAR has no grid; give a CHGCAR, cube, …"),
    ]:
        result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "density.cube", *words)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert sentence in result.err
        assert not (tmp_path / "density.cube").exists()


@pytest.mark.parametrize(
    ("structure", "target", "sentence"),
    [
        ("absent.cif", "CHGCAR", "there is no such file"),
        ("broken.cif", "CHGCAR", "is not a structure that can be read"),
        ("free.xyz", "CHGCAR", "no channel for He"),
        ("flat.xyz", "CHGCAR", "has no cell: add Lattice="),
        ("fe.vasp", "CHGCAR", "Fe"),
        ("fe.vasp", "density.txt", "its name shows no known format"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(structure, target, sentence, edframe, finished, tmp_path):
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a ?\n")
    (tmp_path / "free.xyz").write_text("1\n\nHe 0 0 0\n")
    (tmp_path / "flat.xyz").write_text('1\nLattice="4 0 0 0 4 0 0 0 0"\nLi 0 0 0\n')
    Structure([[4, 0, 0], [0, 4, 0], [0, 0, 4]], ["Fe"], [[0, 0, 0]]).to(str(tmp_path / "fe.vasp"), fmt="poscar")
    before = sorted(tmp_path.iterdir())
    result = edframe("predict", finished, tmp_path / structure, tmp_path / target)
    assert result.code == 2
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    assert sentence in result.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def xyz(kept, tmp_path):
    """Writes frames of the sample's atoms, moved by a little, with the charges that are given."""

    def write(*charges, name="frames.xyz"):
        lattice = " ".join(f"{x:.6f}" for x in kept[0].lattice.matrix.ravel())
        text = ""
        for k, charge in enumerate(charges):
            rows = [f"{site.specie.symbol} {x} {y} {z + 0.01 * k}" for site in kept[0] for x, y, z in [site.coords]]
            said = f" charge={charge}" if charge else ""
            comment = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3{said}'
            text += "\n".join([str(len(rows)), comment, *rows, ""])
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_every_frame_is_predicted_into_a_file_of_its_own(edframe, finished, kept, xyz, tmp_path):
    frames = xyz(0, 0, 0)
    result = edframe("predict", finished, frames, tmp_path / "density.cube", "--grid", 12, 12, 12)
    assert (result.code, result.err) == (0, "")
    assert [line.split(":")[0] for line in result.out.splitlines()] == [
        str(tmp_path / f"density_{k}.cube") for k in range(3)
    ]
    moved = [io.read(tmp_path / f"density_{k}.cube").structure.cart_coords for k in range(3)]
    for k in range(3):
        np.testing.assert_allclose(moved[k], kept[0].cart_coords + np.array([0, 0, 0.01 * k]), atol=1e-5)
    assert not (tmp_path / "density.cube").exists()


def test_the_charge_of_a_frame_is_in_its_density(edframe, finished, xyz, tmp_path):
    result = edframe("predict", finished, xyz(-1), tmp_path / "CHGCAR", "--grid", 12, 12, 12)
    assert result.out.startswith(f"{tmp_path / 'CHGCAR'}: 13 electrons (charge -1) on 12×12×12 points, ")
    assert "has a charge of -1 e, and the model was trained on neutral structures alone" in result.err
    assert "an odd number of electrons, 13, an open shell" in result.err
    volume = io.read(tmp_path / "CHGCAR")
    assert volume.fields["total"].sum() * volume.grid.voxel_volume == pytest.approx(13, rel=1e-6)
    result = edframe(
        "predict", finished, xyz(-1), tmp_path / "CHGCAR", "--grid", 12, 12, 12, "--electrons", 11, "--force"
    )
    assert "CHGCAR: 11 electrons on" in result.out
    result = edframe("predict", finished, xyz(12), tmp_path / "other.cube", "--grid", 12, 12, 12)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "with a charge of 12 has no electrons" in result.err


def test_occupancies_that_are_not_predicted_are_said(edframe, finished, kept, tmp_path):
    structure, grid = kept[0], Grid.of(kept[0].lattice.matrix, (12, 12, 12))
    text = "".join(f"augmentation occupancies{k:4d}   1\n  0.1000000E+00\n" for k in (1, 2, 3))
    fields = {"total": np.ones(grid.shape)}
    io.write(tmp_path / "CHGCAR", io.Volume(structure, grid, fields, augmentation={"total": text}))
    result = edframe("predict", finished, tmp_path / "CHGCAR", tmp_path / "CHGCAR.new")
    assert result.code == 0
    assert result.err == (
        f"Note: the PAW occupancies in {tmp_path / 'CHGCAR'} are not those of the predicted density, and are left out; "
        "VASP takes those of free atoms.\n"
    )


def test_a_training_structure_is_no_extrapolation_and_a_stretched_one_is(edframe, finished, kept, tmp_path):
    structure, _ = kept
    oxygen = structure.cart_coords[1]
    assert structure[1].specie.symbol == "O"
    for factor, warned in ((1, False), (1.6, True)):
        places = oxygen + factor * (structure.cart_coords - oxygen)
        moved = Structure(structure.lattice, structure.species, places, coords_are_cartesian=True)
        moved.to(str(tmp_path / "POSCAR"), fmt="poscar")
        result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "density.cube", "--force")
        assert result.code == 0
        assert bool(result.err) == warned
        assert (float(result.out.rpartition(" ")[2]) > 1) == warned
    assert result.err.startswith("Warning: the surroundings of atom ")
    assert result.err.count("\n") == 1
    assert "the prediction is an extrapolation" in result.err


@pytest.mark.parametrize(
    ("name", "key", "value", "sentence"),
    [
        ("checkpoints/best", "contents", None, "it lacks 'contents'"),
        ("checkpoints/best", "contents", '{"species": 3}', "it cannot be read: 'int' object is not iterable"),
        ("checkpoints/best", "spacing", "nan", "it cannot be read: spacing nan"),
        ("checkpoints/best", "vacuum", "NaN", "it cannot be read: it holds NaN"),
        ("checkpoints/best", "valence", '{"species": ["Li", "O"]}', "it lacks 'electrons'"),
        ("environments", "units", None, "it lacks 'units'"),
        ("environments", "units", '{"Li": NaN, "O": 1}', "it cannot be read: it holds NaN"),
    ],
)
def test_a_header_that_lacks_a_fact_is_one_sentence(edframe, finished, kept, tmp_path, name, key, value, sentence):
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    tensors, header = run.load_tensors(f"{name}.safetensors")
    del header[key]
    run.save_tensors(f"{name}.safetensors", tensors, header if value is None else {**header, key: value})
    result = edframe("predict", run.path, tmp_path / "POSCAR", tmp_path / "a.cube")
    file = run.path / f"{name}.safetensors"
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith(f"Error: {file} is not what edframe writes there: {sentence}; restore it from a copy")


def test_a_weight_that_is_not_finite_is_one_sentence(edframe, finished, kept, tmp_path):
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    tensors, header = run.load_tensors("checkpoints/best.safetensors")
    name = next(key for key, tensor in tensors.items() if tensor.ndim > 1)
    tensors[name].view(-1)[3] = float("inf")
    run.save_tensors("checkpoints/best.safetensors", tensors, header)
    result = edframe("predict", run.path, tmp_path / "POSCAR", tmp_path / "a.cube")
    file = run.path / "checkpoints/best.safetensors"
    assert result.err.startswith(f"Error: {file} holds a weight that is not finite, in '{name}'; restore it")


def test_weights_that_no_longer_fit_the_model_are_one_sentence(edframe, finished, kept, tmp_path):
    shutil.copytree(finished, tmp_path / "other")
    text = (tmp_path / "other" / "config.yaml").read_text()
    (tmp_path / "other" / "config.yaml").write_text(re.sub(r"widths:\n  - 4\n  - 8", "widths: [4, 6]", text))
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    result = edframe("predict", tmp_path / "other", tmp_path / "POSCAR", tmp_path / "density.cube")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "do not fit the model, because its plugin has changed" in result.err
    assert not (tmp_path / "density.cube").exists()


def test_a_run_without_a_description_of_its_training_set_still_predicts(edframe, finished, kept, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(finished, older)
    (older / "environments.safetensors").unlink()
    kept[0].to(str(tmp_path / "POSCAR"), fmt="poscar")
    assert edframe("predict", older, tmp_path / "POSCAR", tmp_path / "density.cube").code == 0


def test_a_file_that_is_there_is_not_written_over(edframe, finished, kept, tmp_path):
    """Not even the input, whose grid is kept: a CHGCAR of a finished calculation."""
    write_density(tmp_path / "CHGCAR", kept[0], (12, 12, 12))
    before = (tmp_path / "CHGCAR").read_bytes()
    result = edframe("predict", finished, tmp_path / "CHGCAR", tmp_path / "CHGCAR")
    assert result.code == 2
    assert (
        result.err == f"Error: {tmp_path / 'CHGCAR'} exists already; give another name, or --force to write over it\n"
    )
    assert (tmp_path / "CHGCAR").read_bytes() == before
    assert edframe("predict", finished, tmp_path / "CHGCAR", tmp_path / "CHGCAR", "--force").code == 0
    assert (tmp_path / "CHGCAR").read_bytes() != before


def test_a_molecule_without_a_cell_is_put_into_a_box(edframe, finished, tmp_path):
    (tmp_path / "m.xyz").write_text("3\n\nLi 0 0 0\nO 1.6 0 0\nLi 3.2 0 0.2\n")
    assert edframe("predict", finished, tmp_path / "m.xyz", tmp_path / "m.cube", "--vacuum", 3).code == 0
    np.testing.assert_allclose(io.read(tmp_path / "m.cube").structure.lattice.abc, [9.2, 6.0, 6.2], atol=1e-5)
    result = edframe("predict", finished, tmp_path / "m.xyz", tmp_path / "n.cube", "--vacuum", 0.2)
    assert (result.code, "too narrow; give 1.5 or more" in result.err) == (2, True)
    result = edframe("predict", finished, tmp_path / "m.xyz", tmp_path / "n.cube", "--vacuum", 0)
    assert (result.code, "a vacuum of 0 Å" in result.err) == (2, True)


def test_many_files_are_predicted_once_and_a_failure_stops_none(edframe, finished, kept, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        kept[0].to(str(tmp_path / folder / "POSCAR"), fmt="poscar")
    (tmp_path / "iron.xyz").write_text("1\n\nFe 0 0 0\n")
    files = [tmp_path / "a" / "POSCAR", tmp_path / "iron.xyz", tmp_path / "b" / "POSCAR"]
    result = edframe("predict", finished, *files, "--out", tmp_path / "out")
    assert result.code == 2
    assert result.err.splitlines()[0].startswith(f"Error: {tmp_path / 'iron.xyz'}: Fe1: no channel for Fe")
    assert result.err.splitlines()[1].startswith("Error: 1 of 3 structures could not be predicted")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-POSCAR.cube", "b-POSCAR.cube"]
    again = edframe("predict", finished, files[0], files[2], "--out", tmp_path / "out")
    assert again.code == 0
    assert again.out.count("is there already") == 2
    result = edframe("predict", finished, *files)
    assert (result.code, "for many structures: --out DIR" in result.err) == (2, True)


def test_several_processes_write_what_one_writes(edframe, process, finished, xyz, tmp_path):
    """Two local workers; a frame that fails stops no other, and what is there is not predicted again."""
    frames = xyz(0, 12, 0, 0)  # of a charge of 12 nothing is left
    alone = edframe("predict", finished, frames, "--out", tmp_path / "one", "--grid", 12, 12, 12)
    both = process("predict", finished, frames, "--out", tmp_path / "two", "--grid", 12, 12, 12, "--workers", 2)
    for result in (alone, both):
        assert result.code == 2
        assert "frame 1: " in result.err
        assert "Error: 1 of 4 structures could not be predicted" in result.err
    names = ["frames_0.cube", "frames_2.cube", "frames_3.cube"]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == names
    for name in names:
        one, two = (io.read(tmp_path / folder / name).fields["total"] for folder in ("one", "two"))
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    (tmp_path / "two" / names[1]).unlink()
    again = edframe("predict", finished, frames, "--out", tmp_path / "two", "--grid", 12, 12, 12)
    assert again.out.count("is there already") == 2
    assert "frames_2.cube: 12 electrons" in again.out

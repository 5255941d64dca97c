"""Predictions in tiles against those of the whole grid: ensembles, symmetries, another basis, other processes."""

from __future__ import annotations

import copy
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core.structure import Structure

from edframe import io
from edframe.errors import RunError
from edframe.grid import Grid
from edframe.memory import release
from edframe.predict import elsewhere, memory
from edframe.predict.ensemble import Ensemble, EnsemblePredictor, predictor_of
from edframe.predict.in_tiles import mean_and_deviation
from edframe.predict.on_disk import chunks, in_file
from edframe.predict.symmetry import Symmetrised
from edframe.runs.directory import Run

LONG = Structure(np.diag([12.0, 3, 3]), ["Li", "O", "Li"], [[0.1, 0.5, 0.5], [0.2, 0.2, 0.5], [0.7, 0.5, 0.5]])
SKEWED = Structure(
    np.diag([3.0, 3, 12]) + np.array([[0, 0, 0], [3, 0, 0], [0, 0, 0]]), LONG.species, LONG.cart_coords[:, ::-1],
    coords_are_cartesian=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def members(finished):
    """Two predictors with other weights, which correct what they are given."""
    made = []
    for seed in range(2):
        predictor = predictor_of(Run.open(finished), "cpu")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in predictor.model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        made.append(predictor)
    return made


@pytest.fixture
def few(monkeypatch):
    """So little memory that grids of 96×12×12 points are predicted in tiles."""
    monkeypatch.setattr(memory, "free_memory", lambda device: 3 << 20)


def in_tiles(predictor, structure, shape):
    """The density, of which it is sure that it was made in tiles."""
    first = predictor.members[0]
    assert len(first.tiled(first.grid(structure, shape, None), None, None, len(predictor.members))) > 1
    return predictor(structure, shape=shape)


@pytest.mark.parametrize(("structure", "shape"), [(LONG, (96, 12, 12)), (SKEWED, (12, 12, 96))])
def test_a_symmetrised_model(members, structure, shape, few, monkeypatch):
    symmetrised = copy.copy(members[0])
    symmetrised.model = Symmetrised(members[0].model)
    density = np.array(in_tiles(symmetrised, structure, shape).density)
    assert len(symmetrised.basis(symmetrised.grid(structure, shape, None)).grid.symmetries()) == 16
    monkeypatch.undo()
    whole = symmetrised(structure, shape=shape).density
    np.testing.assert_allclose(density, whole, atol=1e-6 * whole.max())
    alone = members[0](structure, shape=shape).density
    assert np.abs(alone - whole).max() > 1e-4 * whole.max()


def test_an_ensemble(members, few, monkeypatch, tmp_path):
    ensemble = EnsemblePredictor(Ensemble(tmp_path, (), 1.7), members)
    sample, spread, expected = in_tiles(ensemble, LONG, (96, 12, 12))
    monkeypatch.undo()
    whole, known, number = ensemble(LONG, shape=(96, 12, 12))
    np.testing.assert_allclose(sample.density, whole.density, atol=1e-6 * whole.density.max())
    np.testing.assert_allclose(spread, known, atol=1e-6 * whole.density.max())
    assert expected == pytest.approx(number, rel=1e-5)
    each = [member(LONG, shape=(96, 12, 12)).density.astype(float) for member in members]
    np.testing.assert_allclose(spread, 1.7 * np.abs(each[0] - each[1]) / np.sqrt(2), atol=1e-6 * whole.density.max())


@pytest.mark.parametrize("x_fastest", [False, True])
def test_mean_and_deviation_are_those_of_numpy(x_fastest):
    values = 1e3 + np.random.default_rng(0).random((4, 2, 5, 4, 3))
    files = []
    for each in values:
        files.append(in_file(each.shape, np.float64, None, x_fastest=x_fastest))
        files[-1][:] = each
    order = [np.array(part) for (part,) in chunks(files[0])]
    assert np.array_equal(order[0], values[0].ravel() if not x_fastest else values[0].transpose(0, 3, 2, 1).ravel())
    mean, deviation = mean_and_deviation(iter(files), None)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(deviation, values.std(0, ddof=1), rtol=1e-9)


@pytest.mark.skipif(sys.platform != "linux", reason="the system says there alone what a process holds of files")
@pytest.mark.parametrize("name", ["a.cube", "a.vasp", "a.xsf"])
def test_what_is_written_of_a_file_is_not_held(name, tmp_path):
    shape = (128, 64, 64)
    density = in_file((1, *shape), np.float64, tmp_path, x_fastest=io.format_of(name) in io.X_FASTEST)
    density[:] = 1.0
    release(density)

    def held():
        return resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[2])

    before = held()
    io.write(tmp_path / name, io.Volume(LONG, Grid.of(LONG.lattice.matrix, shape), {"total": density[0]}))
    assert held() - before < density.nbytes / 4


def test_a_model_that_sees_whole_grids_says_so(members, few):
    class Whole(torch.nn.Module):
        def forward(self, channels, baseline, grid, electrons):
            return baseline

    predictor = copy.copy(members[0])
    predictor.model = Whole()
    sentence = "there are no tiles of it, because the model unet sees the whole grid at once; .* by `--grid"
    with pytest.raises(RunError, match=sentence):
        predictor(LONG, shape=(96, 48, 48))


def test_members_and_processes_need_their_share(monkeypatch, members):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 30)
    monkeypatch.setattr(memory, "taken_memory", lambda: 1 << 28)
    grid = Grid.of(LONG.lattice.matrix, (96, 48, 48))
    one = members[0].need(grid, None)
    assert one.tile(2) == pytest.approx(one.tile() / 4, abs=1)  # half of it, less the libraries
    monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 20)
    one, ten = (members[0].need(grid, None, count) for count in (1, 10))
    assert ten.size - one.size == 120 * grid.points


def test_others_compute_the_tiles_of_one_structure(edframe, finished, monkeypatch, tmp_path):
    """As processes do: with what travels to them alone, and in another order."""
    LONG.to(str(tmp_path / "POSCAR"), fmt="poscar")
    given, count = ("predict", finished, tmp_path / "POSCAR"), []

    def others(function, works, *, workers, scheduler):
        assert (function, workers, scheduler) == ("edframe.predict.elsewhere:fields_of_piece", 2, None)
        count.append(len(works))
        for first in range(0, len(works), 3):
            for index in reversed(range(first, min(first + 3, len(works)))):
                yield index, elsewhere.fields_of_piece(copy.deepcopy(works[index]))

    monkeypatch.setattr(elsewhere, "run_jobs", others)
    grid = ("--grid", 160, 12, 12, "--symmetrise")
    assert edframe(*given, tmp_path / "one.vasp", *grid).code == 0
    result = edframe(*given, tmp_path / "two.vasp", *grid, "--workers", 2)
    assert re.search(r"160×12×12 points, [\d.]+ s by 2 processes", result.out)
    assert count[0] > 16  # some for each operation
    one, two = (io.read(tmp_path / f"{name}.vasp").fields["total"] for name in ("one", "two"))
    np.testing.assert_allclose(two, one, atol=1e-6 * one.max())
    result = edframe(*given, tmp_path / "three.vasp", "--grid", 12, 12, 12, "--workers", 2)
    assert "three.vasp: one process predicted it; its tiles would take no less time." in result.err
    assert len(count) == 1


@pytest.mark.slow
def test_two_processes_share_the_tiles_of_one_structure(edframe, environment, finished, tmp_path):
    LONG.to(str(tmp_path / "POSCAR"), fmt="poscar")
    files = [tmp_path / "one.cube", tmp_path / "two.cube"]
    given = ("predict", finished, tmp_path / "POSCAR")
    assert edframe(*given, files[0], "--grid", 160, 12, 12).code == 0
    command = [sys.executable, "-m", "edframe", *given, files[1], "--grid", 160, 12, 12, "--workers", 2]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0
    assert re.search(r"160×12×12 points, [\d.]+ s by 2 processes", result.stdout)
    one, two = (io.read(file).fields["total"] for file in files)
    np.testing.assert_allclose(two, one, atol=1e-6 * one.max())

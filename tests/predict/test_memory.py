"""The memory of a prediction: found without numbers, compared with what is free, and an advice that holds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from edframe import io
from edframe.errors import RunError
from edframe.grid import Grid
from edframe.predict import memory, predictor


class Doubling(nn.Module):
    """Holds 2 and then 3 times the channels, the last of which are let go before the density is made."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, channels, baseline, grid, electrons):
        first = channels * self.weight
        second = first + 1
        third = second * second
        del first, second
        return third.sum(1, keepdim=True)


def test_the_peak_is_that_of_the_tensors_that_live_together():
    grid = Grid.of([4.0] * 3, (10, 8, 6))
    needed = memory.needed(Doubling(), 5, 1, grid)
    assert needed == int(memory.WORK * 3 * 5 * 4 * grid.points) + 2 * 6 * 4 * grid.points


def test_a_model_that_asks_for_values_is_estimated_by_its_inputs():
    class Asking(Doubling):
        def forward(self, channels, baseline, grid, electrons):
            return super().forward(channels, baseline, grid, electrons) * float(channels.max())

    assert memory.needed(Asking(), 5, 1, Grid.of([4.0] * 3, 8)) == 64 * 6 * 8**3


def test_the_unet_grows_with_its_grid_and_its_estimate_is_no_less_than_its_gates():
    from edframe_unet.model import UNet
    from edframe_unet.plugin import UNetConfig

    model = UNet(UNetConfig(widths=(8, 16), blocks=(0, 1)), 3, 1, 3).eval()
    sizes = [memory.needed(model, 3, 1, Grid.of([4.0] * 3, n)) for n in (16, 32)]
    assert sizes[1] == pytest.approx(8 * sizes[0], rel=0.1)
    assert sizes[0] > 4 * 8 * 16**3  # the features of the first level alone


def test_too_large_a_grid_is_refused_with_one_that_fits(monkeypatch):
    model, free = Doubling(), 10 << 20
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    with pytest.raises(
        RunError, match=r"a density on 64×64×48 points needs .* of memory, and 10 MiB are free"
    ) as caught:
        memory.Need.of(model, 5, 1, Grid.of([4.0] * 3, (64, 64, 48)), "cpu").require()
    shape = tuple(map(int, re.search(r"--grid (\d+) (\d+) (\d+)", str(caught.value)).groups()))
    assert np.prod(shape) > 0.3 * free / 108  # not needlessly small
    memory.Need.of(model, 5, 1, Grid.of([4.0] * 3, shape), "cpu").require()


def test_predict_says_so_and_writes_nothing(edframe, finished, monkeypatch, tmp_path):
    from pymatgen.core.structure import Structure

    structure = Structure(np.eye(3) * 7.2, ["Li", "O", "Li"], [[0.3, 0.5, 0.5], [0.5, 0.5, 0.5], [0.7, 0.5, 0.5]])
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 18)
    result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "CHGCAR")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert re.search(
        r"Error: a density on [\d×]+ points needs .* points would fit, by `--grid \d+ \d+ \d+`", result.err
    )
    assert not (tmp_path / "CHGCAR").exists()
    monkeypatch.undo()
    monkeypatch.setattr("edframe_unet.model.UNet.forward", lambda *_: torch.empty(1 << 50))
    result = edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "CHGCAR")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "Error: there is not enough memory for a density on" in result.err
    assert not (tmp_path / "CHGCAR").exists()


def test_a_file_too_large_to_be_read_is_refused(monkeypatch, tmp_path):
    from pymatgen.core.structure import Structure

    from edframe.errors import DataError
    from edframe.io import reading

    grid = Grid.of([4.0] * 3, 12)
    for name in ("CHGCAR", "a.cube", "a.xsf"):
        io.write(
            tmp_path / name,
            io.Volume(Structure(np.eye(3) * 4, ["He"], [[0, 0, 0]]), grid, {"total": np.full((12,) * 3, 2 / 64)}),
        )
        with monkeypatch.context() as patch:
            patch.setattr(reading, "free_memory", lambda: 16 * 1000)
            with pytest.raises(
                DataError,
                match=rf"{name}:\d+: a grid of \d+ points needs .* are free, which 1000 points would fit into",
            ):
                io.read(tmp_path / name)
        io.read(tmp_path / name)


def test_a_unet_is_predicted_in_tiles_where_the_whole_does_not_fit(edframe, finished, monkeypatch, tmp_path):
    from pymatgen.core.structure import Structure
    from pymatgen.io.vasp.outputs import Chgcar

    structure = Structure(np.diag([24.0, 3, 3]), ["Li", "O", "Li"], [[0.1, 0.5, 0.5], [0.2, 0.2, 0.5], [0.7, 0.5, 0.5]])
    structure.to(str(tmp_path / "POSCAR"), fmt="poscar")
    grid = ("--grid", 192, 16, 16)
    edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "CHGCAR.whole", *grid)
    seen = []
    in_tiles = predictor.each_density
    monkeypatch.setattr(memory, "free_memory", lambda device: 12 << 20)
    monkeypatch.setattr(
        predictor, "each_density", lambda *given, **how: seen.append(given[1]) or in_tiles(*given, **how)
    )
    assert edframe("predict", finished, tmp_path / "POSCAR", tmp_path / "CHGCAR", *grid).code == 0
    assert len(seen[0]) > 1
    one, two = (Chgcar.from_file(str(tmp_path / name)).data["total"] for name in ("CHGCAR.whole", "CHGCAR"))
    np.testing.assert_allclose(two, one, atol=1e-6 * one.max())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["CHGCAR", "CHGCAR.whole", "POSCAR"]

"""What computes on a GPU, held against closed forms, on the CPU too; and ``benchmarks/gpu.py`` on a CPU."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import pytest
import torch
from edframe_sinkhorn import sinkhorn_divergence

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Contents

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def blobs(n, *places):
    """Gaussians of 0.6 Å in a periodic box with voxels of 0.4 Å around ``places`` in voxels, ``[b, n, n, n]``."""
    x = torch.arange(n, dtype=torch.float64)
    away = [[(x - c + n / 2) % n - n / 2 for c in place] for place in places]
    lines = [[torch.exp(-((d * 0.4) ** 2) / 0.72) for d in each] for each in away]
    return torch.stack([torch.einsum("i,j,k->ijk", *each) for each in lines])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", ["separable", "lines", pytest.param("keops", marks=pytest.mark.gpu)])
def test_a_density_that_is_moved_costs_half_the_square_of_its_way(device, backend):
    grid = Grid.of([9.6] * 3, 24)
    a, b = (blobs(24, place).to(device) for place in ((8, 8, 8), (10, 8, 7)))
    found = sinkhorn_divergence(a, b, grid, tol=1e-6, backend=backend)
    assert found.gradient.device.type == device
    assert found.value.item() == pytest.approx(0.5 * (2**2 + 1**2) * 0.4**2, rel=1e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["sad", "gaussian"])
def test_a_baseline_is_periodic_and_holds_its_electrons(device, name):
    from pymatgen.core.structure import Structure

    grid, contents = Grid.of([7.2] * 3, 24), Contents(("Li", "O"), 3)
    entry = Registry.discover().get("featurizer", name)
    featurizer = entry.load()(entry.config(), contents)
    atoms = Structure(grid.cell, ["Li", "O"], [[0.1, 0.5, 0.9], [0.5, 0.5, 0.75]])
    here, there = (
        featurizer([each], grid, device) for each in (atoms, atoms.copy().translate_sites([0, 1], [0.25, 0, 0]))
    )
    assert here.channels.device.type == device
    torch.testing.assert_close(there.channels, here.channels.roll(6, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("precision", "ddp"), [("32-true", False), ("bf16-mixed", False), ("32-true", True)])
def test_steps_of_training_make_the_loss_smaller(benchmark, device, precision, ddp):
    step = benchmark.Step(benchmark.Run(device, tiny=True, budget=60), "l2", precision, ddp)
    for group in step.optimiser.param_groups:
        group["lr"] = 0.01
    try:
        values = [step() for _ in range(15)]
    finally:
        if ddp:
            torch.distributed.destroy_process_group()
    assert values[-1] < 0.95 * values[0]


def test_the_benchmark_calls_all_of_it_on_a_cpu(benchmark, tmp_path):
    sections = [name for name in benchmark.SECTIONS if name != "tests"]
    out = tmp_path / "gpu.json"
    assert benchmark.main(["--device", "cpu", "--tiny", "--sections", *sections, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["section"] for row in rows} == set(sections)
    assert not [row for row in rows if "error" in row]
    noted = {row.get("loss") or row["solver"] for row in rows if "note" in row}
    assert noted == {"geomloss", "flash-sinkhorn", "geomloss by KeOps"}


def test_a_test_that_failed_is_named_and_makes_the_status_1(benchmark, tmp_path, monkeypatch):
    calls = []

    def pytest_run(command, **options):
        calls.append(command)
        return subprocess.CompletedProcess(
            command, 1, "F.\nFAILED tests/test_gpu.py::test_x\n1 failed, 1 passed in 3s\n", ""
        )

    monkeypatch.setattr("subprocess.run", pytest_run)
    out = tmp_path / "gpu.json"
    assert benchmark.main(["--device", "cpu", "--sections", "tests", "--out", str(out)]) == 1
    (row,) = json.loads(out.read_text())["rows"]
    assert row["failed"] == ["FAILED tests/test_gpu.py::test_x"]
    assert row["result"] == "1 failed, 1 passed in 3s"
    assert calls[0][calls[0].index("-m", 2) :][:2] == ["-m", "gpu"]


def test_what_no_time_is_left_for_is_named(benchmark, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert benchmark.main(["--device", "cpu", "--budget", "0", "--sections", "bf16", "ddp", "--out", str(out)]) == 0
    assert "No time was left for: bf16; ddp." in capsys.readouterr().out
    assert json.loads(out.read_text())["rows"] == [{"section": "skipped", "names": ["bf16", "ddp"]}]


def test_without_a_gpu_it_is_one_sentence(benchmark, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert benchmark.main([]) == 2
    assert capsys.readouterr().err.startswith("there is no GPU here")

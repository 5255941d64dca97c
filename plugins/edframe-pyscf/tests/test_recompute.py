"""Recomputing the SCF: parts that are kept, parts that are stale, and agreement with what is shipped."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from edframe_pyscf import li_o_li, recompute, scf
from edframe_pyscf import li_o_li_geometry as geometry
from edframe_pyscf.li_o_li import recomputed_folder
from edframe_pyscf.matrices import unpack
from safetensors import safe_open

from edframe.errors import DataError

PAIRS = [(12, 12), (12, 13), (13, 12)]


@pytest.fixture
def quick(monkeypatch):
    """Three configurations without an SCF, with one worker: this process, so that the patches are seen."""
    monkeypatch.setattr(geometry, "pairs", lambda: PAIRS)
    monkeypatch.setattr(geometry, "LEVEL", replace(geometry.LEVEL, spacing=geometry.CELL_LENGTH / 32))
    solved = []

    def solve(cell, name):
        solved.append(name)
        return scf.Solution(np.eye(cell.nao), -30.9, 9, scf.Settings())

    monkeypatch.setattr(scf, "solve", solve)
    return solved


def run(advance=lambda done, total: None):
    return recompute.recompute(recomputed_folder(), workers=1, advance=advance)


def test_a_stopped_run_continues_and_gathers_matrices_with_their_records(quick):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert len(quick) == 1
    progress = []
    target = run(lambda *now: progress.append(now))
    assert sorted(quick) == [geometry.sample_id(*pair) for pair in PAIRS]
    assert progress[-1] == (3, 3)
    assert not list(target.parent.rglob("*.tmp"))
    with safe_open(target, framework="numpy") as file:
        matrices, metadata = file.get_tensor("density_matrices"), file.metadata()
    assert matrices.shape == (3, 41 * 42 // 2)
    assert json.loads(metadata["level"])["mesh"] == 32
    assert all(record["conv_tol"] == scf.Settings().conv_tol for record in json.loads(metadata["scf"]))


def test_parts_of_another_level_and_damaged_parts_are_computed_anew(quick, monkeypatch):
    run()
    quick.clear()
    part = recomputed_folder() / "parts" / "li-o-li-12-13.safetensors"
    part.write_bytes(part.read_bytes()[:-8])
    run()
    assert quick == ["li-o-li-12-13"]
    quick.clear()
    monkeypatch.setattr(geometry, "LEVEL", replace(geometry.LEVEL, spacing=geometry.CELL_LENGTH / 30))
    run()
    assert len(quick) == 3


def test_an_scf_that_does_not_converge_is_listed_at_the_end_and_stops_no_other(quick, monkeypatch):
    solve = scf.solve
    lost = "li-o-li-12-12"

    def solve_but_one(cell, name):
        if name == lost:
            raise DataError(f"{name}: the SCF did not converge")
        return solve(cell, name)

    monkeypatch.setattr(scf, "solve", solve_but_one)
    progress = []
    with pytest.raises(DataError, match=rf"^1 of 3 configurations failed; .*\n{lost}: .*did not converge$"):
        run(lambda *now: progress.append(now))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    folder = recomputed_folder()
    assert sorted(path.stem for path in (folder / "parts").iterdir()) == ["li-o-li-12-13", "li-o-li-13-12"]
    assert not (folder / "li_o_li.safetensors").exists()
    monkeypatch.setattr(scf, "solve", solve)
    quick.clear()
    run()
    assert quick == [lost]


def test_a_worker_with_another_pyscf_makes_no_part(quick, monkeypatch):
    monkeypatch.setattr(recompute, "solve", lambda pair: (np.zeros(1, np.float32), {"inputs": "other", "scf": "{}"}))
    with pytest.raises(DataError, match=r"3 of 3 configurations failed.*\n.*the worker has another PySCF"):
        run()
    assert not list(recomputed_folder().rglob("*.safetensors"))


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="set EDFRAME_CACHE to another folder"):
        run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair", [(12, 12), (0, 24), (3, 21), tuple(int(i) for i in np.random.default_rng(625).integers(0, 25, 2))]
)
def test_shipped_densities_are_what_the_scf_gives(pair):
    """From scratch, at the shipped level: the centre, a corner, an asymmetric configuration, a random one."""
    matrix, metadata = recompute.solve(pair)
    record = json.loads(metadata["scf"])
    row, grid = geometry.pairs().index(pair), li_o_li.grid_of(48, 3)
    _, records, matrices = li_o_li.labels("shipped")
    assert record["energy_hartree"] == pytest.approx(records[row]["energy_hartree"], abs=1e-7)
    positions = geometry.positions(*pair)
    shipped, recomputed = (li_o_li.evaluated(positions, unpack(m), grid) for m in (matrices[row], matrix))
    nmae = np.abs(recomputed - shipped).sum(dtype=float) / shipped.sum(dtype=float)
    print(f"{geometry.sample_id(*pair)}: NMAE {100 * nmae:.2e} %")
    assert nmae < 1e-4


@pytest.mark.slow
def test_ctrl_c_keeps_the_parts_and_ends_the_workers_without_a_traceback(cache):
    command = [sys.executable, "-m", "edframe", "data", "build", "li-o-li", "--recompute", "--workers", "2"]
    output = subprocess.PIPE
    parts = cache / "li-o-li" / "recomputed" / "parts"
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not list(parts.glob("*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        # The pipe closes when the last worker, which holds it too, has ended.
        text, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode not in (0, None)
    assert "Traceback" not in text
    assert list(parts.glob("*.safetensors"))

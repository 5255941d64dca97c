"""``edframe report``."""

from __future__ import annotations

import shutil


def test_report_is_written_again(edframe, finished, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    (path / "report.html").unlink()
    result = edframe("report", path)
    assert (result.code, result.err, result.out) == (0, "", f"{path}/report.html\n")
    assert "<html" in (path / "report.html").read_text()


def test_folder_that_is_no_run_is_one_sentence(edframe, tmp_path):
    result = edframe("report", tmp_path)
    assert result.code == 2
    assert result.err == (
        f"Error: {tmp_path} is not a run directory: it has no config.yaml; give a folder made by `edframe run`\n"
    )

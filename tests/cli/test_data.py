"""``edframe data``."""

from __future__ import annotations

from pathlib import Path

import zarr

from edframe.run import Run

SMALL = ["--set", "data.grid=12", "--set", "data.samples=16"]


def test_datasets_are_listed(edframe):
    result = edframe("data", "list")
    assert (result.code, result.err) == (0, "")
    assert any(line.startswith("li-o-li ") and "Li–O–Li" in line for line in result.out.splitlines())


def test_info_shows_size_species_and_fingerprint(edframe, finished):
    result = edframe("data", "info", "li-o-li", *SMALL)
    assert (result.code, result.err) == (0, "")
    rows = {
        cells[0].strip(): cells[1].strip()
        for line in result.out.splitlines()
        if len(cells := line.split("│")[1:3]) == 2
    }
    assert rows["samples"] == "16"
    assert rows["species"] == "Li, O"
    assert "12×12×12" in rows["grid"]
    fingerprint = Run(finished).provenance()["dataset"]["fingerprint"]
    assert fingerprint in "".join(result.out.replace("│", " ").split())


def test_build_fills_the_cache_and_does_nothing_the_second_time(edframe, environment, tmp_path):
    first = edframe("data", "build", "li-o-li", "--set", "data.grid=8", "--set", "data.samples=8")
    assert (first.code, first.err) == (0, "")
    assert "8/8" in first.out
    (cache,) = Path(environment["EDFRAME_CACHE"]).rglob("8-*.zarr")
    assert zarr.open_group(cache)["present"][:].sum() == 8
    before = {path: path.stat().st_mtime_ns for path in (cache / "density").rglob("*") if path.is_file()}
    again = edframe("data", "build", "li-o-li", "--set", "data.grid=8", "--set", "data.samples=8")
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in (cache / "density").rglob("*") if path.is_file()} == before


def test_ctrl_c_is_one_sentence(edframe, monkeypatch):
    from edframe_pyscf.li_o_li import LiOLi

    def interrupted(self, advance, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LiOLi, "build", interrupted)
    result = edframe("data", "build", "li-o-li", *SMALL)
    assert result.code == 130
    assert result.err == "Stopped; what is done is kept, and the same command continues.\n"


def test_unknown_dataset_and_option_are_one_sentence(edframe):
    for arguments, sentence in (
        (["info", "li-o-la"], "Error: --data: there is no dataset 'li-o-la'; did you mean 'li-o-li'?"),
        (
            ["info", "li-o-li", "--set", "data.gird=12"],
            "Error: --set data.gird=12: there is no option 'data.gird'; did you",
        ),
    ):
        result = edframe("data", *arguments)
        assert result.code == 2
        assert result.err.startswith(sentence)
        assert result.err.count("\n") == 1

"""The folder of what edframe can make again."""

from __future__ import annotations

from edframe.data.cache import cache_folder


def test_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EDFRAME_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDFRAME_CACHE")
    assert cache_folder().name == "edframe"

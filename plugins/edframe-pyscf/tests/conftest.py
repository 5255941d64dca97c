import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own; the user's is never touched."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDFRAME_CACHE", str(folder))
    return folder

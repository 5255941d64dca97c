import pytest

from edframe.testing import checks, component


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """One cache for the whole module, so that nothing is labelled twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDFRAME_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Geometries of H2 and He."""
    path = tmp_path_factory.mktemp("geometries") / "light.xyz"
    path.write_text("2\n\nH 0 0 0\nH 0.74 0 0\n1\n\nHe 0 0 0\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_li_o_li(check, dimension):
    check(component("dataset", "li-o-li", {"grid": 12, "samples": 8, "dimension": dimension}))


@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_molecules(check, file):
    check(component("dataset", "molecules", {"file": file, "voxel": 0.2, "margin": 1.6}))


@pytest.mark.slow
@pytest.mark.parametrize("check", checks("dataset"), ids=str)
def test_qm9(check, file):
    check(component("dataset", "qm9-li2025", {"file": file}))

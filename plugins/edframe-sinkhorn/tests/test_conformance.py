import pytest

from edframe.testing import checks, component


@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance(check):
    check(component("loss", "sinkhorn"))


@pytest.mark.parametrize("check", checks("loss"), ids=str)
def test_conformance_with_options(check):
    check(component("loss", "sinkhorn", {"blur": 1.5, "tol": 1e-5}))


@pytest.mark.parametrize("backend", ["separable", "lines", "toeplitz"])
@pytest.mark.parametrize("check", [check for check in checks("loss") if "refused" in str(check)], ids=str)
def test_each_backend_is_exact_or_refuses_as_promised(check, backend):
    check(component("loss", "sinkhorn", {"backend": backend}))

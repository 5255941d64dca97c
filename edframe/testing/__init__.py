"""The checks a component must pass, for plugin authors: they need nothing but the installed plugin.

    import pytest
    from edframe.testing import checks, component

    @pytest.mark.parametrize("check", checks("loss"), ids=str)
    def test_conformance(check):
        check(component("loss", "l1"))

Importing this package is light; calling ``checks`` imports torch.
"""

from edframe.testing.kit import Check, checks, component
from edframe.testing.subject import Subject

__all__ = ["Check", "Subject", "checks", "component"]

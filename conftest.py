"""Shapes are checked in the tests: of every function of edframe and its plugins whose annotations name axes.

Sources import jaxtyping for type checkers only, so that its own import hook would find no names and check nothing,
silently. Here the names are supplied once a module is loaded; a name that stays unknown is an error.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache, cached_property
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from types import FunctionType

import jaxtyping
import pytest
from beartype import beartype

KINDS = ("Bool", "Complex", "Float", "Int", "Shaped")
SHAPED = re.compile(rf"\b({'|'.join(KINDS)})\[")

INNER = {classmethod: "__func__", staticmethod: "__func__", property: "fget", cached_property: "func"}
"""Where a member of a class has its function."""


@cache
def names():
    """What annotations name and modules may import for type checkers only."""
    import torch

    return {kind: getattr(jaxtyping, kind) for kind in KINDS} | {"Tensor": torch.Tensor}


def checked(function, module):
    """``function``, which then raises ``jaxtyping.TypeCheckError`` for an argument or a result of another shape.

    None when its annotations name no axes; those that do not are left to mypy.
    """
    if not isinstance(function, FunctionType) or function.__module__ != module.__name__:
        return None
    plain = inspect.unwrap(function)
    shaped = {key: text for key, text in plain.__annotations__.items() if SHAPED.search(str(text))}
    if not shaped:
        return None
    plain.__annotations__ = {key: eval(text, vars(module) | names()) for key, text in shaped.items()}
    return jaxtyping.jaxtyped(function, typechecker=beartype)


def check(module):
    """Put the checks into a module, before anything is imported from it."""
    classes = [x for x in vars(module).values() if isinstance(x, type) and x.__module__ == module.__name__]
    for owner in (module, *classes):
        for name, member in list(vars(owner).items()):
            wrapped = checked(getattr(member, INNER.get(type(member), ""), member), module)
            if wrapped is not None:
                replacement = type(member)(wrapped) if type(member) in INNER else wrapped
                if isinstance(replacement, cached_property):
                    replacement.__set_name__(owner, name)
                setattr(owner, name, replacement)


class Loader(SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        check(module)


class Finder(MetaPathFinder):
    """Finds the modules of edframe and of its plugins."""

    def find_spec(self, name, path=None, target=None):
        if not re.match(r"edframe(_\w+)?(\.|$)", name):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


assert "edframe" not in sys.modules, "edframe was imported before its shapes could be checked"
sys.meta_path.insert(0, Finder())


@pytest.fixture
def any_shape():
    """Without the checks: for a test of what a function itself says of a wrong shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

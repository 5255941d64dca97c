"""Turns a class written in a test into a component to check."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from edframe.contract.component import Component, ComponentConfig
from edframe.testing import Subject


@pytest.fixture
def subject_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    def make(kind: str, made: object, module: str = "edframe.plugin", **record: Any) -> Subject:
        holder = types.ModuleType("edframe_under_check")
        holder.factory = made
        monkeypatch.setitem(sys.modules, holder.__name__, holder)
        fields = {
            "kind": kind,
            "name": "example",
            "summary": "an example",
            "config": ComponentConfig,
            "factory": "edframe_under_check:factory",
            "api": 1,
        }
        return Subject(Component(**{**fields, **record}), {}, module)

    return make

"""Nested mappings as lists of leaves."""

from __future__ import annotations

from edframe.config.leaves import leaves


def test_leaves_have_dotted_keys_in_order():
    tree = {"b": {"y": 1, "x": {"deep": [2, {"kept": 3}]}}, "a": None, "empty": {}}
    assert list(leaves(tree)) == [("b.y", 1), ("b.x.deep", [2, {"kept": 3}]), ("a", None), ("empty", {})]

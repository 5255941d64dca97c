"""Losses for edframe: exact and sliced Wasserstein distances between densities on a grid."""

from typing import Any

_MODULES = {"exact_transport": "exact", "sliced_transport": "sliced"}

__all__ = ["exact_transport", "sliced_transport"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # imported on use: the plugin's records must load without torch
        from importlib import import_module

        return getattr(import_module(f"edframe_wasserstein.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'edframe_wasserstein' has no attribute '{name}'")

"""Loss for edframe: the debiased Sinkhorn divergence on a grid."""

from typing import Any

__all__ = ["Options", "SinkhornDivergence", "Start", "sinkhorn_divergence"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported on use: the plugin's records must load without torch
        from edframe_sinkhorn import divergence

        return getattr(divergence, name)
    raise AttributeError(f"module 'edframe_sinkhorn' has no attribute '{name}'")

"""The trained models of this distribution. Light: it must not import torch."""

from __future__ import annotations

from edframe.plugin import Pretrained, hookimpl

LI_O_LI = {
    "checkpoints/best.safetensors": "f0ff30dcca884c6869076255c58e56c8f5596d598580ddee9a0957aed22384e1",
    "checkpoints/featurizer.safetensors": "d697082109bea80e11e02ef33982386a764c2ea7898968053aaaea43f3b37a97",
    "environments.safetensors": "9b3ccc531225dcb9040cd3466b69bfb6df4bc2bbc49321aff6bf1fb1cc9252a2",
    "config.yaml": "828665d78dfdfc929a873f5184e4a7857610e915387cd6be033fca432ef584af",
    "provenance.json": "7e8a85fc359814c25ed2f3babfb43078ac34421b3f0d2565a85d50f0bfbcff6d",
}
"""Path → SHA-256; nothing is read before it agrees."""


@hookimpl
def edframe_pretrained() -> list[Pretrained]:
    """The models."""
    return [
        Pretrained(
            name="li-o-li",
            version="1",
            summary="Li2O as a molecule: a demonstration, 0.2% off",
            source="edframe_models:li-o-li",
            files=LI_O_LI,
            species=("Li", "O"),
            domain="Li2O as a bent or stretched molecule near its minimum; other clusters are extrapolations.",
            licence="MIT",
            card="edframe_models:li-o-li/card.md",
            functional="pbe",
            pseudopotential="gth-pbe",
            basis="gth-dzvp",
        )
    ]

"""The trained models of this distribution. Light: it must not import torch."""

from __future__ import annotations

from edframe.plugin import Pretrained, hookimpl

LI_O_LI = {
    "checkpoints/best.safetensors": "1aa68e711e0f5ca116541e98223cb91857d0f8d63448830398e2948561f03d15",
    "checkpoints/featurizer.safetensors": "c6e059d4946f32c2ed13e6bf14326e195ce82f23f0d3d85e0101c67c1c014720",
    "environments.safetensors": "2e6f7687f3149083162b84c43b1a1619dccef11dfe247313b5b8629bb58fd15f",
    "config.yaml": "80099cbcd9091c292da0034d64425d8975114f65e0e5b218eee97726e87ed6d3",
    "provenance.json": "7e8a85fc359814c25ed2f3babfb43078ac34421b3f0d2565a85d50f0bfbcff6d",
}
MOLECULES_HCNOF = {
    "checkpoints/best.safetensors": "4700cdb7754d175ba1d4fd45ac97e3c325754bed2bff852e02236785283c3496",
    "checkpoints/featurizer.safetensors": "86cf0fcc6b3cad4b49ca0f68b07e7826e1d51f33c9ad4ac82500a2254b296b31",
    "environments.safetensors": "012e84d795d685367cace6df0dc53a3ed0f5e16c6fb45f97ea492b057dd3a9dd",
    "config.yaml": "a844dd137882271eb49c9c541114a5755f0b271c6379e960e36ff222893e8c87",
    "provenance.json": "6f835bafd0598408bc36ccfa8ea7e546387b184f7d5859a70f93815224173801",
}
"""Path → SHA-256 of each model's files; nothing is read before it agrees."""


@hookimpl
def edframe_pretrained() -> list[Pretrained]:
    """The models."""
    return [
        Pretrained(
            name="li-o-li",
            version="2",
            summary="Li2O as a molecule: a demonstration, 0.06% off",
            source="edframe_models:li-o-li",
            files=LI_O_LI,
            species=("Li", "O"),
            domain="Li2O as a bent or stretched molecule near its minimum; other clusters are extrapolations.",
            licence="MIT",
            card="edframe_models:li-o-li/card.md",
            functional="pbe",
            pseudopotential="gth-pbe",
            basis="gth-dzvp",
        ),
        Pretrained(
            name="molecules-hcnof",
            version="1",
            summary="molecules of H, C, N, O and F: for a first look, 2% off",
            source="edframe_models:molecules-hcnof",
            files=MOLECULES_HCNOF,
            species=("H", "C", "N", "O", "F"),
            domain="Neutral closed-shell molecules of up to seven heavy atoms, relaxed or as at up to 1500 K.",
            licence="MIT",
            card="edframe_models:molecules-hcnof/card.md",
            functional="pbe",
            pseudopotential="gth-pbe",
            basis="gth-tzv2p",
        ),
    ]

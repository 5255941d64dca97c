"""The model of edframe-unet. Light: torch is imported when the model is built."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, model_validator

from edframe.plugin import Component, ComponentConfig, hookimpl


class UNetConfig(ComponentConfig):
    """Options of the model ``unet``."""

    widths: tuple[int, ...] = Field((16, 32, 64, 96), min_length=1)
    """Feature channels of each level, finest first; every further level halves the resolution."""
    blocks: tuple[int, ...] = Field((0, 1, 1, 1), min_length=1)
    """Residual blocks of each level, on the way down and again on the way up; 0 at the finest level is fast."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which a feature channel is dropped in each block during training; 0 (off) did best in 2018."""

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetConfig:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"widths has {len(self.widths)} levels and blocks {len(self.blocks)}: give one per level")
        if min(self.widths) < 1 or min(self.blocks) < 0:
            raise ValueError("widths must be at least 1 and blocks at least 0")
        return self


UNET = """@inproceedings{Ronneberger2015,
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {MICCAI},
  pages = {234--241},
  year = {2015},
  doi = {10.1007/978-3-319-24574-4_28}
}"""


@hookimpl
def edframe_models() -> Iterable[Component]:
    return [
        Component(
            kind="model",
            name="unet",
            summary="mixer (1×1 convolution) and residual U-Net, 2D or 3D; corrects a baseline where one is given",
            config=UNetConfig,
            factory="edframe_unet.model:UNet",
            api=1,
            references=(UNET,),
        )
    ]

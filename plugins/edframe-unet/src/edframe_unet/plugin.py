"""The models of edframe-unet. Light: torch is imported when a model is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edframe.plugin import Among, Component, ComponentConfig, Range, Search, hookimpl


class NetworkConfig(ComponentConfig):
    """Options of every U-Net."""

    widths: tuple[int, ...] = Field((16, 32, 64, 96), min_length=1)
    """Feature channels of each level, finest first; every further level halves the resolution."""
    blocks: tuple[int, ...] = Field((0, 1, 1, 1), min_length=1)
    """Blocks of two convolutions of each level, on the way down and again on the way up; 0 at the finest is fast."""
    block: Literal["residual", "plain"] = "residual"
    """residual: what a block computes is added to its input, so deep stacks train. plain: convolution, activation."""
    kernel: int = Field(3, ge=3, le=9)
    """Points of a convolution along each axis, odd."""
    activation: Literal["silu", "gelu", "relu"] = "silu"
    """Nonlinearity; each maps 0 to 0, so that vacuum stays empty."""
    down: Literal["strided", "average", "max"] = "strided"
    """How resolution is halved: a strided convolution, or the mean or maximum of blocks of 2 points."""
    up: Literal["transposed", "linear"] = "transposed"
    """How resolution is doubled: a transposed convolution, or linear interpolation."""
    skips: Literal["added", "concatenated"] = "added"
    """How the features of the way down join those of the same level on the way up."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which a feature channel is dropped in each block during training; 0 (off) did best in 2018."""
    checkpointing: bool = False
    """Compute the features of each block again on the way back instead of storing them: less memory, more time."""
    channels_last: bool = True
    """Store the channels of a voxel together in memory, which is faster on most processors; results agree."""
    compile: bool = False
    """Compile the network by torch.compile at its first call: needs a C++ compiler; faster in long runs on a GPU."""

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"widths has {len(self.widths)} levels and blocks {len(self.blocks)}: give one per level")
        if min(self.widths) < 1 or min(self.blocks) < 0:
            raise ValueError("widths must be at least 1 and blocks at least 0")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, to be centred on its voxel: {self.kernel - 1} or {self.kernel + 1}")
        return self


class UNetConfig(NetworkConfig):
    """Options of the model ``unet``."""

    output: Literal["gates", "field"] = "gates"
    """gates: smooth weights of the input's features, one level above the grid. field: one value per voxel."""

    search: ClassVar[Search] = {
        "widths": Among(((8, 16, 32, 64), (16, 32, 64, 96), (16, 48, 96, 128))),
        "activation": Among(("silu", "gelu", "relu")),
        "down": Among(("strided", "average", "max")),
        "up": Among(("transposed", "linear")),
        "skips": Among(("added", "concatenated")),
        "dropout": Range(0.0, 0.3),
        "output": Among(("gates", "field")),
    }


class ResUNetConfig(NetworkConfig):
    """Options of the model ``resunet``."""

    blocks: tuple[int, ...] = Field((1, 1, 1, 1), min_length=1)
    """Blocks of two convolutions of each level, on the way down and again on the way up."""

    output: ClassVar[Literal["field"]] = "field"

    search: ClassVar[Search] = {
        "widths": Among(((8, 16, 32, 64), (16, 32, 64, 96), (24, 48, 96, 128))),
        "activation": Among(("silu", "gelu", "relu")),
        "dropout": Range(0.0, 0.3),
    }


UNET = """@inproceedings{Ronneberger2015,
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {MICCAI},
  pages = {234--241},
  year = {2015},
  doi = {10.1007/978-3-319-24574-4_28}
}"""


HE = """@inproceedings{He2016,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Identity Mappings in Deep Residual Networks},
  booktitle = {ECCV},
  pages = {630--645},
  year = {2016},
  doi = {10.1007/978-3-319-46493-0_38}
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
        ),
        Component(
            kind="model",
            name="resunet",
            summary="residual U-Net at full resolution that corrects superposed atomic densities, 2D or 3D",
            config=ResUNetConfig,
            factory="edframe_unet.model:UNet",
            api=1,
            references=(UNET, HE),
        ),
    ]

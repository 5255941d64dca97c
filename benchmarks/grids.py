"""Time of the default U-Net by the number of points: what can be halved at each level is fastest.

OMP_NUM_THREADS=1 python benchmarks/grids.py [--points 64 60 50 54 63 45]
"""

from __future__ import annotations

import argparse

import torch
from edframe_unet.model import UNet
from edframe_unet.plugin import UNetConfig
from measuring import print_table, timed

from edframe.grid import Grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[64, 60, 50, 54, 63, 45], help="along each axis")
    arguments = parser.parse_args()
    model = UNet(UNetConfig(), channels=3, spins=1, dimension=3).eval()
    rows = []
    for n in arguments.points:
        grid, channels = Grid.of([0.25 * n] * 3, n), torch.rand(1, 3, n, n, n)
        with torch.no_grad():
            seconds, _ = timed(lambda c=channels, g=grid: model(c, c.sum(1, keepdim=True), g, torch.tensor([8.0])))
        rows.append((f"{n}³", f"{seconds:.2f} s", f"{seconds * (64 / n) ** 3:.1f} s"))
    print_table(("grid", "time", "per 64³ points"), rows)


if __name__ == "__main__":
    main()

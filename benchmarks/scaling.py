"""Time and memory from 64³ to 512³: features, model, tiles and writing, with few atoms and many.

python benchmarks/scaling.py
python benchmarks/scaling.py --points 64 128 --limit 60

Antifluorite Li₂O at 0.15 Å: three atoms in the cell, as in vacuum, or the crystal. The default U-Net has random
weights, which do not change the time. Each number is of a process of its own with one thread: CPU seconds, and the peak
of its memory less that before. ``features before`` is the plain sum over all points of all atoms, ``model`` that on the
whole grid; tiles have ``--memory`` GiB. A series ends where a number took more than ``--limit`` seconds; what is in
``--out`` is not measured again. The exponent is that of seconds in the number of points, over the largest two sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import processor

PARTS = ("features before", "features", "model", "tiles", "writing")
SPACING = 0.15
LATTICE = 4.61


def main() -> None:
    """Print a line for each number and a table, and write them to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[64, 128, 192, 256, 384, 512])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--atoms", nargs="+", default=["few", "many"], choices=["few", "many"])
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--memory", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        part, atoms, points = arguments.one
        print(json.dumps(measured(part, atoms, int(points), arguments.memory)))
        return
    rows: list[dict[str, Any]] = []
    if arguments.out.is_file():
        rows = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"]
    for atoms in arguments.atoms:
        for part in arguments.parts:
            for points in arguments.points:
                if any((row["part"], row["atoms"], row["points"]) == (part, atoms, points) for row in rows):
                    continue
                command = [sys.executable, __file__, "--one", part, atoms, str(points)]
                command += ["--memory", str(arguments.memory)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{part}, {atoms}, {points}³: {(done.stderr.splitlines() or ['killed'])[-1]}", flush=True)
                    break
                rows.append({"part": part, "atoms": atoms, "points": points, **json.loads(done.stdout)})
                print(rows[-1], flush=True)
                facts = {"processor": processor(), "torch": torch.__version__, "memory": arguments.memory}
                arguments.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
                if rows[-1]["seconds"] > arguments.limit:
                    break
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Seconds and MiB of each part by size, as Markdown, with the exponent of growth."""
    sizes = sorted({row["points"] for row in rows})
    lines = [f"| | atoms | {' | '.join(f'{n}³' for n in sizes)} | exponent |", "|---" * (len(sizes) + 3) + "|"]
    for atoms in ("few", "many"):
        for part in PARTS:
            mine = {row["points"]: row for row in rows if (row["part"], row["atoms"]) == (part, atoms)}
            cells = [f"{mine[n]['seconds']:.3g} s, {mine[n]['mib']:.0f} MiB" if n in mine else "" for n in sizes]
            last = sorted(mine)[-2:]
            exponent = ""
            if len(last) == 2:
                a, b = (mine[n]["seconds"] for n in last)
                exponent = f"{math.log(b / a) / math.log((last[1] / last[0]) ** 3):.2f}"
            if mine:
                lines.append(f"| {part} | {atoms} | {' | '.join(cells)} | {exponent} |")
    return "\n".join(lines)


@torch.no_grad()
def measured(part: str, atoms: str, points: int, memory: float) -> dict[str, float]:
    """CPU seconds of a part, and MiB at its peak beside what was there before."""
    import time

    from edframe_gaussian import summation
    from edframe_gaussian.plugin import SADConfig
    from edframe_gaussian.sad import SADFeaturizer
    from edframe_unet.model import UNet
    from edframe_unet.plugin import UNetConfig

    from edframe import io
    from edframe.data.basis import as_given
    from edframe.grid import Grid
    from edframe.interfaces import Contents
    from edframe.predict.layers import predicted
    from edframe.predict.memory import Need
    from edframe.predict.tiles import tiles

    torch.set_num_threads(1)
    structure = supercell(points if atoms == "many" else 0, points)
    grid = Grid.of(structure.lattice.matrix, points)
    featurizer = SADFeaturizer(SADConfig(), Contents(("Li", "O"), len(structure)))
    torch.manual_seed(0)
    model = UNet(UNetConfig(), channels=len(featurizer.channels), spins=1, dimension=3).eval()
    if part == "features before":
        summation.FEW = 2**62
    electrons = torch.tensor([float(sum(featurizer.electrons[site.specie.symbol] for site in structure))])
    values = np.zeros((1, 1, 1))
    channels, baseline = torch.zeros(1, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 1)
    if part == "model":
        channels, baseline = (torch.rand(1, n, *grid.shape) for n in (len(featurizer.channels), 1))
    if part == "writing":
        values = np.random.default_rng(0).random(grid.shape)
    facts: dict[str, float] = {"number": float(len(structure))}
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if part.startswith("features"):
            featurizer([structure], grid, "cpu")
        elif part == "model":
            model(channels, baseline, grid, electrons)
        elif part == "writing":
            io.write(folder / "CHGCAR", io.Volume(structure, grid, {"total": values}))
        else:
            room = memory * 2**30
            need = Need.of(model, len(featurizer.channels), 1, grid, "cpu", room)
            parts = tiles(grid, model, grid.points if need.fits else need.tile())
            on = featurizer.tiled(structure, grid, "cpu")
            density = predicted(model, on, as_given(grid), float(electrons), parts, folder, "cpu")
            facts["tiles"] = float(len(parts))
            facts["electrons off"] = abs(float(density.sum() * grid.voxel_volume / electrons) - 1)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**facts, "seconds": seconds, "mib": (peak - before) / 1024, "peak mib": peak / 1024}


def supercell(fill: int, points: int) -> Any:
    """Li₂O in a cube of ``points`` voxels: the crystal where ``fill``, else three atoms."""
    from pymatgen.core import Lattice, Structure

    side = points * SPACING
    if not fill:
        return Structure(
            Lattice.cubic(side), ["Li", "O", "Li"], np.array([[3, 3, 3], [4.4, 3.9, 3], [5.9, 3.2, 3]]) / side
        )
    copies = max(1, round(side / LATTICE))
    unit = Structure.from_spacegroup("Fm-3m", Lattice.cubic(side / copies), ["O", "Li"], [[0, 0, 0], [0.25] * 3])
    return unit * (copies, copies, copies)


if __name__ == "__main__":
    main()

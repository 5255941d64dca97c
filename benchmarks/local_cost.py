"""What a correction of `local` costs: a large prediction, and large cells of a crystal against a small one.

    OMP_NUM_THREADS=1 python benchmarks/local_cost.py [--network] [--only grids crystal] [--points 48 64]

The coefficients are those of the shipped model `li-o-li`; with `--network`, its network is evaluated, too. Processor
seconds of the whole featurizer, baseline included; of three calls the fastest. Crystal: rock salt of Li and O, 4 Å,
12 points along an edge of the cell of 8 atoms, one cell and 4 × 4 × 4 of them, each in a process of its own, with the
most memory that it held beyond what it began with.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch
from edframe_local.local import LocalFeaturizer
from edframe_local.local_network import LocalNetworkFeaturizer
from edframe_local.plugin import LocalConfig, LocalNetworkConfig
from pymatgen.core import Lattice, Structure
from safetensors.torch import load_file

from edframe.contract.registry import Registry
from edframe.grid import Grid
from edframe.interfaces import Contents
from edframe.predict import pretrained

EDGE, POINTS = 4.0, 12


def featurizer(network: bool) -> LocalFeaturizer:
    """With what was found for the shipped model."""
    registry = Registry.discover()
    folder = pretrained.folder_of(registry.model("li-o-li"))
    state = load_file(folder / "checkpoints" / "featurizer.safetensors")
    contents = Contents(("Li", "O"), max_atoms=3)
    if not network:
        made = LocalFeaturizer(LocalConfig(base="sad"), contents)
        made.restore({"coefficients": state["coefficients"]})
        return made
    weights = [tensor for name, tensor in state.items() if name.startswith("network.body") and tensor.ndim == 2]
    options = LocalNetworkConfig(base="sad", width=len(weights[0]), layers=len(weights))
    made = LocalNetworkFeaturizer(options, contents)
    made.restore(state)
    return made


def crystal(times: int) -> tuple[Structure, Grid]:
    """Rock salt, ``times``³ cells of 8 atoms."""
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(EDGE), ["Li", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure = cell.make_supercell([times] * 3, in_place=False)
    return structure, Grid.of(structure.lattice.matrix, (POINTS * times,) * 3)


def seconds(made: LocalFeaturizer, structure: Structure, grid: Grid, repeats: int) -> float:
    """Of the processor."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        made([structure], grid, "cpu")
        times.append(time.process_time() - began)
    return min(times)


def one_crystal(times: int, network: bool) -> tuple[int, int, float, float]:
    """Atoms, points, µs per point, MB."""
    torch.set_num_threads(1)
    made = featurizer(network)
    structure, grid = crystal(times)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = seconds(made, structure, grid, 3 if times == 1 else 1)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return len(structure), grid.points, 1e6 * taken / grid.points, held / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--only", nargs="+", default=["grids", "crystal"], choices=["grids", "crystal"])
    parser.add_argument("--points", type=int, nargs="+", default=[48, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if "grids" in arguments.only:
        source = Registry.discover().get("dataset", "li-o-li")
        structure = source.load()(source.config(samples=8))[0].structure
        made = featurizer(arguments.network)
        for points in arguments.points:
            grid = Grid.of(structure.lattice.matrix, (points,) * 3)
            print(f"Li–O–Li, {points}³: {seconds(made, structure, grid, 3):.2f} s", flush=True)
    if "crystal" in arguments.only:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            rows = pool.starmap(one_crystal, [(times, arguments.network) for times in (1, 4)], chunksize=1)
        for atoms, points, each, held in rows:
            print(f"{atoms} atoms, {points} points: {each:.0f} µs per point, {held:.0f} MB", flush=True)
        print(f"ratio: {rows[1][2] / rows[0][2]:.2f}")


if __name__ == "__main__":
    main()

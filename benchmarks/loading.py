"""How fast the training loop's loader feeds densities from a warm local store, in random order.

OMP_NUM_THREADS=1 python benchmarks/loading.py

Samples are those of li-o-li at 48³, copied to a store in a temporary folder. The featurizer makes nothing and nothing
is kept in memory, so that each sample is read, decoded, checked and stacked anew. Each is read twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import processor

from edframe.contract.registry import Registry
from edframe.data import loading
from edframe.data.copying import copy_to_store
from edframe.data.loading import Loader, Schedule
from edframe.interfaces import Features, Featurizer

GOAL = 300
"""MB/s of density on two cores."""


class Nothing(Featurizer):
    """No channels."""

    channels = ()

    def __call__(self, structures: Any, grid: Any, device: Any) -> Features:
        return Features(torch.empty(len(structures), 0, *grid.shape), None)


def main() -> None:
    """Print MB/s by number of workers and batch size, and write them to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=625)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    registry = Registry.discover()

    def make(name: str, **options: Any) -> Any:
        entry = registry.get("dataset", name)
        return entry.load()(entry.config(**options))

    source = make("li-o-li", samples=arguments.samples)
    source.build(lambda done, total: None)
    loading.KEPT_BYTES = 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copy_to_store(source, f"{folder}/samples.zarr", {}, lambda done, total: None)
        dataset = make("store", path=f"{folder}/samples.zarr")
        for workers in (0, 1, 2):
            for batch_size in (1, 8):
                loader = Loader(dataset, Nothing(), "cpu", workers)
                schedule = Schedule(range(len(dataset)), dataset.buckets, batch_size, seed=0)
                steps = 2 * len(dataset) // batch_size
                list(loader.stream(map(schedule, range(50))))  # the files' pages are in memory from here on
                began = time.perf_counter()
                size = sum(batch.density.nbytes for batch in loader.stream(map(schedule, range(steps))))
                rate = size / (time.perf_counter() - began) / 1e6
                rows.append({"workers": workers, "batch_size": batch_size, "MB/s": round(rate)})
                print(f"workers {workers}, batches of {batch_size}: {rate:5.0f} MB/s ({rate / GOAL:.1f} × the goal)")
    table = {"command": "OMP_NUM_THREADS=1 python benchmarks/loading.py", "processor": processor(), "rows": rows}
    arguments.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()

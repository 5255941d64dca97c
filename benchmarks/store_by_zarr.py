"""The store against zarr-python, with its own codec pipeline and with that of zarrs, which is written in Rust.

OMP_NUM_THREADS=1 python benchmarks/store_by_zarr.py

All three read the same files, and write the same arrays with the same codecs. Times are those of the processor, so that
other work on the machine does not matter; waiting for the disk is not in them. The best of three passes counts, with
files that the system has in memory. Damage is done to a copy of the store, then the damaged sample is read. Needs
`pip install zarrs`. --quick is a smoke run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from measuring import Results, digest, duration, print_table, processor
from numcodecs import blosc
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

import edframe.data.store
from edframe.contract.registry import Registry
from edframe.data.store import Store, StoreWriter, layout
from edframe.data.store.record import record_of, sample_from_record
from edframe.errors import DataError
from edframe.grid import Grid
from edframe.sample import Sample

PASSES = 3
PIPELINES = {"zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs": "zarrs.ZarrsCodecPipeline"}


def main() -> None:
    """Measure, write ``--out`` and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--quick", action="store_true", help="few samples, to see that it runs")
    options = parser.parse_args()
    blosc.use_threads = False
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "zarr", "zarrs", "numcodecs")}
    source = sorted(Path(edframe.data.store.__file__).parent.glob("*.py"))
    setup = {**versions, "store source": digest(source), "processor": processor()}
    results = Results(options.out, setup, fresh=True)
    results.begin("OMP_NUM_THREADS=1 python benchmarks/store_by_zarr.py" + " --quick" * options.quick)
    entry = Registry.discover().get("dataset", "li-o-li")
    dataset = entry.load()(entry.config(grid=48, samples=20 if options.quick else 100))
    dataset.build(lambda done, total: None)
    large, small = list(dataset), tiny(500 if options.quick else 5000)
    with tempfile.TemporaryDirectory() as folder:
        for name, samples in (("4³", small), ("48³", large)):
            table = measure(Path(folder), samples)
            for way, row in table.items():
                results.add(samples=len(samples), grid=name, way=way, **row)
            heads = ("writing all", "one more", "opening", "one, at random")
            rows = [(way, *(duration(row[head]) for head in heads)) for way, row in table.items()]
            print(f"\n{len(samples)} samples of {name}\n")
            print_table(("", *heads), rows)
        said = damage(Path(folder), large[:8])
    print()
    for kind, by in said.items():
        results.add(damage=kind, **by)
    print_table(("the sample's file", "edframe", *PIPELINES), [(kind, *by.values()) for kind, by in said.items()])


def tiny(count: int) -> list[Sample]:
    """Samples of 4³ points, of an atom each."""
    grid = Grid.of([4.0, 4.0, 4.0], 4)
    density = np.random.default_rng(0).random((count, 1, 4, 4, 4)).astype(np.float32)
    atom = Structure(Lattice(grid.vectors), ["He"], [[0.1, 0.2, 0.3]])
    return [Sample(f"sample-{i}", atom, grid, d, float(d.sum(dtype=float))) for i, d in enumerate(density)]


@contextlib.contextmanager
def pipeline(name: str) -> Iterator[None]:
    """zarr-python with one thread and one of its codec pipelines; with none that is silently another."""
    chosen = {"codec_pipeline.path": PIPELINES[name], "threading.max_workers": 1, "async.concurrency": 1}
    with zarr.config.set(chosen):
        yield


def measure(folder: Path, samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Seconds of each way: writing all samples, writing one more to what is there, opening, and one sample."""
    url = folder / f"{len(samples)}.zarr"
    more = replace(samples[0], id="one more")
    order = [int(i) for i in np.random.default_rng(1).integers(0, len(samples), min(2000, 2 * len(samples)))]

    def write() -> None:
        with StoreWriter(url) as writer:
            for position, sample in enumerate(samples):
                writer.add(sample, position=position)

    def append() -> None:
        with StoreWriter(copy) as writer:
            writer.add(more, position=len(samples))

    def read(store: Store) -> None:
        for i in order:
            store[i]

    writing, _ = timed(write)
    copy = shutil.copytree(url, folder / "copy.zarr")
    appending, _ = timed(append)
    shutil.rmtree(copy)
    opening, store = best(lambda: Store(url))
    reading, _ = best(lambda: read(store))
    table = {"edframe": row(writing, appending, opening, reading / len(order))}
    for name in PIPELINES:
        with pipeline(name):
            made = folder / "by-zarr.zarr"
            writing, _ = timed(lambda: write_by_zarr(made, samples))  # noqa: B023
            appending, _ = timed(lambda: append_by_zarr(made, len(samples), more))  # noqa: B023
            shutil.rmtree(made)
            opening, opened = best(lambda: open_by_zarr(url))
            some = order[:100]
            reading, _ = best(lambda: [read_by_zarr(*opened, i) for i in some])  # noqa: B023
            table[name] = row(writing, appending, opening, reading / len(some))
    return table


def row(writing: float, appending: float, opening: float, reading: float) -> dict[str, float]:
    return {"writing all": writing, "one more": appending, "opening": opening, "one, at random": reading}


def write_by_zarr(url: Path, samples: Sequence[Sample]) -> None:
    """The arrays of a store, shard by shard; without its fsync, its commits and its record of what counts."""
    capacity = layout.capacity_of(samples[0].density.size)
    name = layout.density_array(capacity)
    for array in ("id", "index", "record", name):
        (url / array).mkdir(parents=True)
        (url / array / "zarr.json").write_bytes(layout.metadata(array, len(samples) + 1))
    (url / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    group: Any = zarr.open_group(url, mode="r+")
    length = layout.rows_per_shard(name)
    for start in range(0, len(samples), length):
        part = samples[start : start + length]
        group[name][start : start + len(part)] = np.stack([padded(sample, capacity) for sample in part])
    length = layout.rows_per_shard("record")
    for start in range(0, len(samples), length):
        texts = [record_of(sample)[0] for sample in samples[start : start + length]]
        group["record"][start : start + len(texts)] = np.array(texts, dtype=object)
    group["id"][: len(samples)] = np.array([sample.id for sample in samples], dtype=object)
    group["index"][: len(samples)] = np.zeros((len(samples), len(layout.COLUMNS)), np.int64)


def append_by_zarr(url: Path, count: int, sample: Sample) -> None:
    """One sample more, in the room that the arrays have."""
    group: Any = zarr.open_group(url, mode="r+")
    capacity = layout.capacity_of(sample.density.size)
    group[layout.density_array(capacity)][count] = padded(sample, capacity)
    group["record"][count] = record_of(sample)[0]
    group["id"][count] = sample.id
    group["index"][count] = np.zeros(len(layout.COLUMNS), np.int64)


def padded(sample: Sample, capacity: int) -> NDArray[np.float32]:
    values = np.zeros(capacity, np.float32)
    values[: sample.density.size] = sample.density.ravel()
    return values


def open_by_zarr(url: Path) -> tuple[Any, Any, Any, Any]:
    """Ids, and what a sample is read with: the arrays of records and densities, and rows by position."""
    group: Any = zarr.open_group(url, mode="r")
    count = group.attrs["edframe"]["samples"]
    columns = list(group["index"].attrs["columns"])
    index = group["index"][:count]
    rows = index[:, columns.index("row")]
    capacity = int(index[0, columns.index("capacity")])
    return group["id"][:count], group["record"], group[layout.density_array(capacity)], rows


def read_by_zarr(ids: Any, records: Any, densities: Any, rows: Any, index: int) -> Sample:
    return sample_from_record(str(records[index]), densities[int(rows[index])])


def damage(folder: Path, samples: Sequence[Sample]) -> dict[str, dict[str, str]]:
    """What each way says when the last sample is read from a file that is not what was written."""
    url, other = folder / "whole.zarr", folder / "other.zarr"
    for place, given in ((url, samples), (other, samples[::-1])):
        with StoreWriter(place) as writer:
            for position, sample in enumerate(given):
                writer.add(replace(sample, id=samples[position].id), position=position)
    key = layout.shard_key(layout.density_array(layout.capacity_of(samples[0].density.size)), 0)
    whole, last = (url / key).read_bytes(), len(samples) - 1
    middle = int(np.frombuffer(whole[-layout_index(key) : -4], "<i8").reshape(-1, 2)[last].sum()) - 100
    files = {
        "one byte changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut short": whole[: len(whole) // 2],
        "absent": None,
        "of another store": (other / key).read_bytes(),
    }
    said: dict[str, dict[str, str]] = {}
    for kind, content in files.items():
        (url / key).unlink(missing_ok=True)
        if content is not None:
            (url / key).write_bytes(content)
        answers = {"edframe": answer(lambda: Store(url)[last], samples[last], samples[last].id, key)}
        for name in PIPELINES:
            with pipeline(name):
                read = lambda: read_by_zarr(*open_by_zarr(url), last)  # noqa: E731
                answers[name] = answer(read, samples[last], samples[last].id, key)
        said[kind] = answers
    return said


def layout_index(key: str) -> int:
    """Bytes of the index at the end of a shard."""
    return 16 * layout.rows_per_shard(key.split("/")[0]) + 4


def answer(read: Callable[[], Sample], expected: Sample, sample: str, key: str) -> str:
    """In a few words what came of reading: an error and what it names, or a density, right or wrong."""
    try:
        read_back = read()
    except DataError as error:
        return f"refused, names {'sample' * (sample in str(error))} {'and file' * (key in str(error))}".strip()
    except Exception as error:
        names = [word for word, text in (("sample", sample), ("file", key)) if text in str(error)]
        return f"{type(error).__name__}, names {' and '.join(names) or 'neither sample nor file'}"
    if math.isclose(float(np.abs(read_back.density - expected.density).max()), 0):
        return "the right density"
    return "zeros, without an error" if not read_back.density.any() else "another density, without an error"


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, of all threads together, and result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def best(call: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest time of PASSES, and a result."""
    return min((timed(call) for _ in range(PASSES)), key=lambda timing: timing[0])


if __name__ == "__main__":
    main()

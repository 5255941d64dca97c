"""The store of samples: opening, one sample, all in random order, compression of real densities.

OMP_NUM_THREADS=1 python benchmarks/store.py

Densities are those of li-o-li at 48³. Reading is of one process and files that the system has in memory; the best of
three passes counts. A store returns whole samples, checked, with their structures; .npy files return
bare arrays. --quick is a smoke run.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from measuring import Results, digest, duration, print_table, processor, timed
from numcodecs import Blosc, blosc

import edframe.data.store
from edframe.contract.registry import Registry
from edframe.data.store import Store, StoreWriter
from edframe.data.store.layout import capacity_of, density_array
from edframe.data.store.place import Folder
from edframe.grid import Grid
from edframe.sample import Sample

PASSES = 3
CODECS = [("lz4", 5, 2), ("lz4", 9, 2), ("lz4", 9, 1), ("zstd", 1, 1), ("zstd", 3, 1), ("zstd", 5, 1), ("zstd", 5, 2),
          ("zstd", 9, 1)]  # fmt: skip


def main() -> None:
    """Measure, write ``--out`` and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--quick", action="store_true", help="few samples, to see that it runs")
    options = parser.parse_args()
    entry = Registry.discover().get("dataset", "li-o-li")
    dataset = entry.load()(entry.config(grid=48))
    dataset.build(lambda done, total: None)
    samples = [dataset[i] for i in range(16 if options.quick else len(dataset))]
    results = Results(options.out, setup(), fresh=True)
    results.begin("OMP_NUM_THREADS=1 python benchmarks/store.py" + " --quick" * options.quick)
    with tempfile.TemporaryDirectory() as folder:
        measure_opening(results, Path(folder), 1000 if options.quick else 100_000)
        measure_reading(results, Path(folder), samples)
    measure_codecs(results, samples[:: max(len(samples) // 40, 1)])


def setup() -> dict[str, Any]:
    """What a number depends on."""
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "zarr", "numcodecs", "pymatgen")}
    source = sorted(Path(edframe.data.store.__file__).parent.glob("*.py"))
    return {**versions, "store source": digest(source), "processor": processor()}


def measure_opening(results: Results, folder: Path, count: int) -> None:
    """Make and open a store of many small samples."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    grid = Grid.of([4.0, 4.0, 4.0], 4)
    density = np.random.default_rng(0).random((count, 1, 4, 4, 4)).astype(np.float32)
    atom = Structure(Lattice(grid.vectors), ["He"], [[0.1, 0.2, 0.3]])

    def write() -> None:
        with StoreWriter(folder / "small.zarr") as writer:
            for position, values in enumerate(density):
                electrons = float(values.sum(dtype=np.float64)) * grid.voxel_volume
                writer.add(Sample(f"sample-{position}", atom, grid, values, electrons), position=position)

    writing, _ = timed(write)
    opening, store = best(lambda: Store(folder / "small.zarr"))
    chosen = [int(i) for i in np.random.default_rng(1).integers(0, count, 2000)]
    reading, _ = best(lambda: [store[i] for i in chosen])
    files = sum(path.is_file() for path in (folder / "small.zarr").rglob("*"))
    row = {"samples": count, "write_s": writing, "open_s": opening, "read_s": reading / len(chosen), "files": files}
    results.add(section="opening", **row)
    print_table(
        ("4³ samples", "files", "writing all", "opening", "reading one"),
        [(count, files, duration(writing), duration(opening), duration(reading / len(chosen)))],
    )


def measure_reading(results: Results, folder: Path, samples: Sequence[Sample]) -> None:
    """The same densities from a store, from .npy files, and from the store by zarr-python."""
    shape = samples[0].density.shape

    def write() -> None:
        with StoreWriter(folder / "large.zarr") as writer:
            for position, sample in enumerate(samples):
                writer.add(replace(sample, id=str(position)), position=position)

    writing, _ = timed(write)
    for position, sample in enumerate(samples):
        np.save(folder / f"{position}.npy", sample.density)
    store = Store(folder / "large.zarr")
    array: Any = zarr.open_group(folder / "large.zarr", mode="r")[density_array(capacity_of(48**3))]
    order = [int(i) for i in np.random.default_rng(0).permutation(len(samples))]
    megabytes = samples[0].density.nbytes * len(samples) / 1e6
    size = sum(path.stat().st_size for path in (folder / "large.zarr").rglob("*") if path.is_file()) / 1e6
    results.add(section="writing", samples=len(samples), MB_per_s=megabytes / writing, raw_MB=megabytes, stored_MB=size)
    print(f"\n{len(samples)} samples of {shape}: {megabytes:.0f} MB, {size:.0f} MB in the store with structures and "
          f"index, written at {megabytes / writing:.0f} MB/s\n")  # fmt: skip

    def by_two(read: Callable[[int], Any]) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, order))

    def in_batches() -> None:
        for start in range(0, len(order), 16):
            store.read(order[start : start + 16])

    ways: dict[str, Callable[[], Any]] = {
        "store[i]": lambda: [store[i] for i in order],
        "store[i], 2 threads": lambda: by_two(store.__getitem__),
        "store.read, 16 at once": in_batches,
        "store by zarr-python, density only": lambda: [array[i] for i in order],
        "np.load of .npy": lambda: [np.load(folder / f"{i}.npy") for i in order],
        "np.load of .npy, 2 threads": lambda: by_two(lambda i: np.load(folder / f"{i}.npy")),
    }
    rows = []
    for name, read in ways.items():
        seconds, _ = best(read)
        row = {"way": name, "ms_per_sample": 1e3 * seconds / len(samples), "MB_per_s": megabytes / seconds}
        results.add(section="reading", **row)
        rows.append((name, f"{row['ms_per_sample']:.3f}", f"{row['MB_per_s']:.0f}"))
    print_table(("random order, 48³", "ms/sample", "MB/s"), rows)
    count, read_bytes = bytes_of_one(store, order[0])
    results.add(section="one sample", reads=count, bytes=read_bytes, density_bytes=samples[0].density.nbytes)
    print(f"\none sample: {count} reads, {read_bytes} bytes, for a density of {samples[0].density.nbytes} bytes")


def bytes_of_one(store: Store, index: int) -> tuple[int, int]:
    """Reads and bytes for one sample, once the indexes of its shards are known."""
    sizes = []
    get = Folder.get

    def counted(*arguments: Any) -> bytes:
        data = get(*arguments)
        sizes.append(len(data))
        return data

    Folder.get = counted  # type: ignore[method-assign]
    try:
        store[index]
    finally:
        Folder.get = get  # type: ignore[method-assign]
    return len(sizes), sum(sizes)


def measure_codecs(results: Results, samples: Sequence[Sample]) -> None:
    """Compression ratio and speed of one thread, by codec, on real densities."""
    values = [sample.density.ravel() for sample in samples]
    megabytes = sum(value.nbytes for value in values) / 1e6
    out = np.empty_like(values[0])
    blosc.use_threads = False
    rows = []
    for name, level, shuffle in CODECS:
        codec = Blosc(cname=name, clevel=level, shuffle=shuffle)
        encoding, encoded = timed(lambda: [codec.encode(value) for value in values])  # noqa: B023
        decoding, _ = best(lambda: [blosc.decompress(data, out) for data in encoded])  # noqa: B023
        row = {"codec": name, "level": level, "shuffle": "bits" if shuffle == 2 else "bytes",
               "ratio": 1e6 * megabytes / sum(map(len, encoded)),
               "encode_MB_per_s": megabytes / encoding, "decode_MB_per_s": megabytes / decoding}  # fmt: skip
        results.add(section="codecs", **row)
        rows.append((name, level, row["shuffle"], f"{row['ratio']:.2f}", f"{megabytes / encoding:.0f}",
                     f"{megabytes / decoding:.0f}"))  # fmt: skip
    print()
    print_table(("Blosc", "level", "shuffled", "ratio", "encode MB/s", "decode MB/s"), rows)


def best(call: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest time of PASSES, and a result."""
    return min((timed(call) for _ in range(PASSES)), key=lambda timing: timing[0])


if __name__ == "__main__":
    main()

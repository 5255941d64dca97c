"""The arrays of a store: names, sizes, codecs and metadata. Who changes sizes or columns changes the format."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numcodecs import Blosc, Zstd

CHUNK_ROWS = 16384
"""Samples in one chunk of ``id`` and ``index``."""

SHARD_ROWS = 4096
"""Most samples in a shard: its index, 16 bytes a sample, is read before the first of them."""

SHARD_BYTES = 64 * 1024**2
"""Most bytes in a shard, before compression, unless one sample has more."""

COLUMNS = ("position", "group", "grid", "capacity", "row", "checksums", "hash 1", "hash 2")
"""Columns of ``index``. grid: a hash of it. checksums: those at the end of the chunks of record and density, four bytes
each, so that chunks of another sample or another day are not taken for these. hash: its ``content_hash``."""

NO_GROUP = np.iinfo(np.int64).min
"""Group of a sample that is its own."""

RECORD_CODEC = Zstd(level=3)
INDEX_CODEC = Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE)
DENSITY_CODEC = Blosc(cname="zstd", clevel=5, shuffle=Blosc.SHUFFLE)
"""Of li-o-li's densities it leaves 77% where lz4 leaves 79 to 82%, and it decodes at more than 1 GB/s; level 9 leaves
74% and encodes a few MB/s (benchmarks/store.py)."""


def capacity_of(values: int) -> int:
    """The smallest m·2^k, m from 8 to 15, that is at least ``values``: at most 12.5% more."""
    k = max(values.bit_length() - 4, 0)
    m = -(-values >> k)
    return max(m, 8) << k  # m = 16 is 8·2^(k + 1)


def density_array(capacity: int) -> str:
    """Name of the array for densities of at most ``capacity`` values."""
    return f"density-{capacity}"


def rows_per_shard(array: str) -> int:
    """Samples in one shard of ``record`` or a density array."""
    if array == "record":
        return SHARD_ROWS
    return max(1, min(SHARD_ROWS, SHARD_BYTES // (4 * _capacity(array))))


def shard_key(array: str, shard: int) -> str:
    """File of a shard of ``record`` or a density array."""
    return f"{array}/c/{shard}" if array == "record" else f"{array}/c/{shard}/0"


def chunk_keys(chunk: int) -> tuple[str, str]:
    """Files of a chunk of ``id`` and ``index``."""
    return f"id/c/{chunk}", f"index/c/{chunk}/0"


def metadata_key(array: str) -> str:
    """File of the metadata of an array."""
    return f"{array}/zarr.json"


def metadata(array: str, rows: int) -> bytes:
    """The ``zarr.json`` of an array with room for ``rows`` samples, rounded up so that it seldom changes."""
    numbers: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    text = {"name": "vlen-utf8", "configuration": {}}
    zstd = {"name": "zstd", "configuration": {"level": RECORD_CODEC.level, "checksum": False}}
    checksum = {"name": "crc32c"}
    row: list[int]
    empty: float | str
    if array in ("id", "record"):
        row, dtype, empty, codecs = [], "string", "", [text, zstd, checksum]
    elif array == "index":
        row, dtype, empty, codecs = [len(COLUMNS)], "int64", 0, [numbers, _blosc(INDEX_CODEC, 8), checksum]
    else:
        row, dtype, empty, codecs = [_capacity(array)], "float32", 0.0, [numbers, _blosc(DENSITY_CODEC, 4), checksum]
    length = CHUNK_ROWS
    if array not in ("id", "index"):
        length = rows_per_shard(array)
        sharding = {"chunk_shape": [1, *row], "codecs": codecs, "index_codecs": [numbers, checksum]}
        codecs = [{"name": "sharding_indexed", "configuration": {**sharding, "index_location": "end"}}]
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [-(-rows // length) * length, *row],
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [length, *row]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": empty,
        "codecs": codecs,
        "attributes": {"columns": list(COLUMNS)} if array == "index" else {},
    }
    return json.dumps(document, indent=1).encode()


def _blosc(codec: Blosc, size: int) -> dict[str, Any]:
    options = {"typesize": size, "cname": codec.cname, "clevel": codec.clevel, "shuffle": "shuffle", "blocksize": 0}
    return {"name": "blosc", "configuration": options}


def _capacity(array: str) -> int:
    return int(array.removeprefix("density-"))

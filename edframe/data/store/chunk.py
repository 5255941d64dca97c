"""The bytes of chunks and shards, as Zarr defines them, each with its checksum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from google_crc32c import value as crc32c
from numcodecs import VLenUTF8, blosc
from numpy.typing import NDArray

from edframe.data.store import layout
from edframe.data.store.place import Place

_ABSENT = 2**64 - 1


class DamagedFile(Exception):
    """Bytes that are not what was written; the message says which file and why."""


def encode_density(values: NDArray[Any], capacity: int) -> bytes:
    """The chunk of one density: float32, flattened and filled up with zeros."""
    padded = np.zeros(capacity, "<f4")
    padded[: values.size] = values.ravel()
    return _sealed(layout.DENSITY_CODEC.encode(padded))


def decode_density(chunk: bytes, capacity: int, checksum: int, file: str) -> NDArray[np.float32]:
    """``[capacity]``, writable. Raises DamagedFile."""
    values = np.empty(capacity, "<f4")
    blosc.decompress(_opened(chunk, file, checksum), values)
    return values


def encode_record(text: str) -> bytes:
    """The chunk of one record."""
    return _sealed(layout.RECORD_CODEC.encode(VLenUTF8().encode(np.array([text], dtype=object))))


def decode_record(chunk: bytes, checksum: int, file: str) -> str:
    """Raises DamagedFile."""
    text: str = VLenUTF8().decode(layout.RECORD_CODEC.decode(_opened(chunk, file, checksum)))[0]
    return text


def encode_index(ids: Sequence[str], rows: Sequence[tuple[int, ...]]) -> tuple[bytes, bytes]:
    """The chunks of ``id`` and ``index`` that begin with these samples."""
    names = np.full(layout.CHUNK_ROWS, "", dtype=object)
    names[: len(ids)] = ids
    numbers = np.zeros((layout.CHUNK_ROWS, len(layout.COLUMNS)), "<i8")
    numbers[: len(rows)] = rows
    return _sealed(layout.RECORD_CODEC.encode(VLenUTF8().encode(names))), _sealed(layout.INDEX_CODEC.encode(numbers))


def read_index(place: Place, chunk: int) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Ids ``[n]`` and rows ``[n, column]`` of one chunk. Raises DamagedFile."""
    id_key, index_key = layout.chunk_keys(chunk)
    names = VLenUTF8().decode(layout.RECORD_CODEC.decode(_opened(get(place, id_key), id_key)))
    numbers = np.empty((layout.CHUNK_ROWS, len(layout.COLUMNS)), "<i8")
    blosc.decompress(_opened(get(place, index_key), index_key), numbers)
    return names, numbers


def get(place: Place, key: str, start: int | None = None, stop: int | None = None) -> bytes:
    """What ``place`` holds. Raises DamagedFile when it does not."""
    try:
        return place.get(key, start, stop)
    except OSError as error:
        raise DamagedFile(f"{key}: {error.strerror or error}") from error


def _sealed(data: bytes) -> bytes:
    checksum: int = crc32c(data)
    return data + checksum.to_bytes(4, "little")


def _opened(data: bytes, file: str, checksum: int | None = None) -> NDArray[np.uint8]:
    content = np.frombuffer(data, np.uint8)[:-4]
    kept = int.from_bytes(data[-4:], "little")
    if len(data) < 4 or crc32c(content) != kept:
        raise DamagedFile(f"{file}: its checksum does not match")
    if checksum is not None and checksum != kept:
        raise DamagedFile(f"{file}: it is not of the same state as the index")
    return content


def checksums_of(record: bytes, density: bytes) -> int:
    """The checksums of both chunks of a sample as one signed number, for the index."""
    return int.from_bytes(record[-4:] + density[-4:], "little", signed=True)


def shard_index_bytes(array: str) -> int:
    """Length of the index at the end of each shard."""
    return 16 * layout.rows_per_shard(array) + 4


def read_shard_index(data: bytes, key: str) -> NDArray[np.int64]:
    """``[row, 2]``: first byte and length of each chunk, −1 for none. Raises DamagedFile."""
    return np.frombuffer(_opened(data, key), "<i8").reshape(-1, 2)


def extend_shard(array: str, shard: bytes, kept: int, chunks: Sequence[bytes], key: str) -> bytes:
    """The first ``kept`` chunks of ``shard``, then ``chunks``. Raises DamagedFile for a shard that lacks them."""
    lengths = [len(chunk) for chunk in chunks]
    prefix = memoryview(b"")
    if kept:
        index = read_shard_index(shard[-shard_index_bytes(array) :], key)
        if (index[:kept] < 0).any():
            raise DamagedFile(f"{key}: it has fewer samples than the commit record says")
        prefix = memoryview(shard)[: int(index[kept - 1].sum())]
        lengths = [*index[:kept, 1].tolist(), *lengths]
    table = np.full((layout.rows_per_shard(array), 2), _ABSENT, "<u8")
    table[: len(lengths), 1] = lengths
    table[: len(lengths), 0] = np.cumsum(lengths) - lengths
    return b"".join([prefix, *chunks, _sealed(table.tobytes())])

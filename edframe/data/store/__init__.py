"""Any number of samples in one Zarr v3 hierarchy: mixed grids, few files, one chunk per sample, checksums throughout.

| array           | shape, dtype      | holds                                                                   |
|-----------------|-------------------|-------------------------------------------------------------------------|
| ``id``          | [n] string        | name of the n-th sample written                                         |
| ``index``       | [n, column] int64 | position, group, …, row in its density array; columns in the attributes |
| ``record``      | [n] string        | structure, grid, electrons and source as JSON                           |
| ``density-<c>`` | [row, c] float32  | densities of at most c values ``[s, x, y, z]``, C order, then zeros     |

The attributes of the group hold how many samples count (``edframe/samples``); what arrays hold beyond is unfinished.
Any Zarr library reads it, without edframe:

    group = zarr.open_group(url, mode="r")
    n = group.attrs["edframe"]["samples"]
    columns = group["index"].attrs["columns"]
    entry = dict(zip(columns, group["index"][:n][7]))
    record = json.loads(str(group["record"][7]))
    shape = (record["spins"], *record["grid"]["shape"])
    density = group[f"density-{entry['capacity']}"][entry["row"]][: math.prod(shape)].reshape(shape)  # e/Å^d

A commit writes the shards that grew, then ``id`` and ``index``, then the group's attributes, each file in one atomic
step: a reader sees all of a commit or nothing of it, and a process killed at any moment loses only what it had not
committed. This holds in a local folder (the bytes are on the disk before the next step) and on object storage.

edframe reads and writes chunks and shards itself, by the codecs of numcodecs, because zarr-python, with its own codec
pipeline or that of zarrs, takes 8 to 20 times as long for one sample, does not name the damaged sample, and returns a
wrong density where a file is of another state; ``benchmarks/README.md`` has the table.
"""

from edframe.data.store.reader import Store
from edframe.data.store.record import content_hash, fingerprint_of
from edframe.data.store.writer import StoreWriter

__all__ = ["Store", "StoreWriter", "content_hash", "fingerprint_of"]

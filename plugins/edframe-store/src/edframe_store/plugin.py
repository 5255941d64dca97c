"""What this distribution offers, and its options. Light: the store is opened when the dataset is used."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from edframe.plugin import Component, ComponentConfig, hookimpl


class StoreConfig(ComponentConfig):
    """Options of the dataset ``store``."""

    path: str = Field("samples.zarr", min_length=1)
    """Folder of the store, with ~, or any URL that fsspec opens, such as s3://bucket/samples.zarr."""


@hookimpl
def edframe_datasets() -> Iterable[Component]:
    return [
        Component(
            kind="dataset",
            name="store",
            summary="samples in a store of edframe, in a folder or at a URL",
            config=StoreConfig,
            factory="edframe_store.dataset:StoredSamples",
            api=1,
        )
    ]

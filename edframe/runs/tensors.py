"""Files of tensors, as safetensors defines them, with a checksum of header and content.

https://huggingface.co/docs/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from google_crc32c import extend, value

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from numpy.typing import NDArray
    from torch import Tensor

CHECKSUM = "checksum"
"""Name of the checksum in the metadata of the header; files of an older edframe have none."""


def pieces(tensors: Mapping[str, Shaped[Tensor, "..."]], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """A file in pieces, tensor by tensor: the library's own ``save`` first makes a copy of them all, and refuses
    tensors that share memory, such as tied weights."""
    import torch
    from safetensors.torch import save

    dtypes = {tensor.dtype for tensor in tensors.values()}
    names = {dtype: json.loads(save({"": torch.empty(0, dtype=dtype)})[8:])[""]["dtype"] for dtype in dtypes}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    ordered = sorted(tensors, key=lambda key: -tensors[key].itemsize)  # so that each begins at a multiple of its width
    end = 0
    for key in ordered:
        tensor, begin = tensors[key], end
        end += tensor.nbytes
        header[key] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    checksum = _start(header)
    for key in ordered:
        checksum = extend(checksum, _bytes(tensors[key]))
    header["__metadata__"][CHECKSUM] = f"{checksum:08x}"
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for key in ordered:
        yield _bytes(tensors[key]).data


def check(path: Path) -> None:
    """Raises ValueError when the content of a file is not what was written; OSError when it cannot be read."""
    content = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = dict(json.loads(content[8:start].tobytes()))
    kept = header.get("__metadata__", {}).pop(CHECKSUM, None)
    if kept is not None and f"{extend(_start(header), content[start:]):08x}" != kept:
        raise ValueError("its checksum does not match")


def numbers(text: str) -> Any:
    """Plain data from JSON in a header. Raises ValueError for what is none, and for NaN and infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}")

    return json.loads(text, parse_constant=refuse)


def positive(text: str | float, name: str) -> float:
    """A number above zero from a header. Raises ValueError for another."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} {number}")
    return number


def _start(header: Mapping[str, Any]) -> int:
    return int(value(json.dumps(header, sort_keys=True).encode()))


def _bytes(tensor: Shaped[Tensor, "..."]) -> NDArray[np.uint8]:
    import torch

    content: NDArray[np.uint8] = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return content

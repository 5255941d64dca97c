"""Memory: how much is free, and one sentence where it does not suffice."""

from __future__ import annotations

import contextlib
import mmap
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edframe.errors import EdframeError, RunError

_GROUP = Path("/sys/fs/cgroup")


def free_memory(device: str = "cpu") -> int:
    """Bytes that can be taken: of the machine and the limits set on this process, or of a CUDA device.

    Where the system does not say, the largest integer.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return min(_machine(), _container(), _limit())


def taken_memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        import resource

        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return 0


def release(array: Any) -> None:
    """Let go the memory of an array in a file, as NumPy maps it, whose values remain there; of others, nothing."""
    mapped: Any = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        with contextlib.suppress(OSError):
            mapped.madvise(mmap.MADV_DONTNEED)


def by_words(size: float) -> str:
    """Bytes as people read them: 3.2 GiB."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**29 else f"{size / 2**20:.3g} MiB"


def by_points(shape: Sequence[int]) -> str:
    """A grid in a sentence: 120×120×96."""
    return "×".join(map(str, shape))


def fitting(shape: Sequence[int], share: float) -> tuple[int, ...]:
    """A grid of the same proportions, of at most ``share`` of the points, by eights where that is not too coarse."""
    factor = min(1.0, share) ** (1 / len(shape))
    smaller = [max(1, int(n * factor)) for n in shape]
    return tuple(n - n % 8 if n > 8 else n for n in smaller)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or PyTorch says that there was not enough memory."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    by_text = isinstance(error, RuntimeError) and any(part in str(error) for part in words)
    return isinstance(error, MemoryError) or by_text


@contextlib.contextmanager
def out_of_memory_as(sentence: str, kind: type[EdframeError] = RunError) -> Iterator[None]:
    """Raise ``kind`` with the sentence where the block runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise kind(sentence) from None  # what the traceback holds is let go


def _machine() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return sys.maxsize


def _container() -> int:
    with contextlib.suppress(OSError, ValueError):
        limit, used = ((_GROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used)) if limit != "max" else sys.maxsize
    return sys.maxsize


def _limit() -> int:
    """What ``ulimit -v`` leaves."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit: Any = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return max(0, int(limit) - pages * resource.getpagesize())
    return sys.maxsize

"""The most memory that was in use at one time, for tables that compare runs."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def forget_peak(device: torch.device) -> None:
    """Measure from now on. Where the system cannot forget, on other than Linux, the peak is since the process began."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets VmHWM to what is resident now


def peak_memory(device: torch.device) -> int:
    """Bytes: what PyTorch had allocated on a CUDA device, and elsewhere what was resident of the whole process."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # on Windows
        import psutil  # type: ignore[import-untyped]

        resident = psutil.Process().memory_info()
        return int(getattr(resident, "peak_wset", resident.rss))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

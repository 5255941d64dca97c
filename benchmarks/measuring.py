"""Results of a long benchmark kept in a file, timing, peak memory, and tables in Markdown."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edframe.files import whole

Row = dict[str, Any]


class Results:
    """Rows of all sections in one small JSON file, written after every row."""

    def __init__(self, path: Path, setup: Row, fresh: bool) -> None:
        """Raises SystemExit when ``path`` holds what was measured elsewhere or of other code."""
        self.path, self.setup = path, setup
        self.commands: list[str] = []
        self.rows: list[Row] = []
        if path.is_file() and not fresh:
            earlier = json.loads(path.read_text())
            for name, value in setup.items():
                if value is not None and earlier["setup"].get(name) not in (None, value):
                    raise SystemExit(
                        f"{path} is of {name} {earlier['setup'][name]}, not {value}: choose another --out, or --fresh"
                    )
            self.setup = {name: value or earlier["setup"].get(name) for name, value in setup.items()}
            self.commands, self.rows = earlier["commands"], earlier["rows"]

    def begin(self, command: str) -> None:
        """Note a command whose rows follow."""
        if command not in self.commands:
            self.commands.append(command)

    def find(self, **wanted: Any) -> list[Row]:
        """The rows with these entries."""
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]

    def add(self, **row: Any) -> None:
        """One more row, at once on disk."""
        self.rows.append(row)
        parts = {"setup": self.setup, "commands": self.commands, "rows": self.rows}
        lines = []
        for name, content in parts.items():
            each = content if isinstance(content, list) else [content]
            text = ",\n".join("  " + json.dumps(item) for item in each)
            lines.append(f'"{name}": [\n{text}\n]' if isinstance(content, list) else f'"{name}":\n{text}')
        with whole(self.path) as file:
            file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def setup(device: str) -> Row:
    """What a number depends on."""
    import edframe_sinkhorn
    import torch

    versions: Row = {}
    for name in ("torch", "numpy", "jax", "ott-jax", "geomloss", "pykeops"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    plugin = sorted(Path(edframe_sinkhorn.__file__).parent.rglob("*.py"))
    return {
        **versions,
        "edframe-sinkhorn source": digest(plugin),
        "problems source": digest([Path(__file__).with_name("problems.py")]),
        "processor": torch.cuda.get_device_name() if device == "cuda" else processor(),
    }


def digest(files: Iterable[Path]) -> str:
    """A short name for the content of files."""
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:12]


def processor() -> str:
    """The name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def peak_bytes(call: Callable[[], Any], device: str) -> tuple[int, Any]:
    """Most bytes that torch held during ``call`` beyond what it held before, and the result of ``call``.

    On a CPU the profiler records each allocation and release of torch's allocator. What a library takes for itself
    (the packed blocks of a matrix product) is not in it; the peak of resident memory is about one density higher.
    """
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call()
        return torch.cuda.max_memory_allocated() - before, result
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak, result


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def print_table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """A table in Markdown, aligned."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")

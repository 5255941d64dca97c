"""What the scripts of this folder share: they run ``edframe``, and fill the marked places of a page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def edframe(*arguments: str) -> None:
    """A command, run to its end; when it fails, this process ends as it did. Ctrl-C is the command's, which keeps what
    is done and says how to go on."""
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.call([sys.executable, "-m", "edframe", *arguments], cwd=ROOT)
    signal.signal(signal.SIGINT, handler)
    if code:
        sys.exit(code)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"{page.name} has no place for '{name}'")
    page.write_text(before + begin + text + end + after, encoding="utf-8")

"""What Ctrl-C does: before the work it ends the process, during the work it raises KeyboardInterrupt."""

from __future__ import annotations

import os
import signal


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process: raised in the middle of an import, an interrupt may be swallowed there."""
    signal.signal(signal.SIGINT, _leave)


def raise_interrupts() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, and SIGTERM, by which clusters stop a job, does the same."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _leave(number: int, frame: object) -> None:
    os.write(2, b"Stopped.\n")
    os._exit(130)

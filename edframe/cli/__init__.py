"""The command line: ``edframe``. One module per command group; heavy imports happen inside the commands."""

from edframe.cli.main import main

__all__ = ["main"]

"""Python scripts as inputs of codes that have no other: executed for what they make."""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path
from typing import Any

from edframe.errors import DataError


def made_by(input: Path, name: str, what: str) -> dict[str, Any]:
    """What a script makes outside of functions, ``name`` among it.

    what: that is, in words with an article. Raises DataError for a script that is not there, fails, or makes none.
    """
    if input.suffix != ".py" or not input.is_file():
        raise DataError(f"{input} is no Python script; give one that makes {what}")
    try:
        with contextlib.chdir(input.absolute().parent):
            made = runpy.run_path(input.name, run_name="edframe")
    except Exception as error:  # whatever the script raises
        raise DataError(f"{input} ends with {type(error).__name__}: {error}") from error
    if made.get(name) is None:
        raise DataError(f"{input} makes no {what.partition(' ')[2]}; name it so, outside of functions")
    return made


def has_run(input: Path, run: str) -> DataError:
    """The error for a script that has run its calculation by the line ``run``."""
    return DataError(f'{input} has run its calculation; put `{run}` under `if __name__ == "__main__":`')

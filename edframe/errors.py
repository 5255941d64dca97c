"""One family of errors. Each carries a sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import importlib
import shlex
from typing import Any

__all__ = [
    "ConfigError",
    "DataError",
    "EdframeError",
    "MissingError",
    "PluginError",
    "RunError",
    "command",
    "imported",
    "missing",
]


class EdframeError(Exception):
    """Base of every error edframe raises on purpose; the command line prints it and exits with status 2."""


class ConfigError(EdframeError):
    """A configuration that does not validate. The message names the key and its source."""


class PluginError(EdframeError):
    """A plugin that is broken, duplicated, of another API, or absent."""


class DataError(EdframeError):
    """Input data that cannot be used: unconverged, malformed, inconsistent."""


class MissingError(DataError):
    """An optional package that is not installed. The message names the extra of edframe that brings it."""


class RunError(EdframeError):
    """A run directory that cannot be written, read or resumed."""


def command(*words: object) -> str:
    """A command to type, between backticks in messages, quoted for a shell where its words need it."""
    return "`" + shlex.join(map(str, words)) + "`"


def imported(module: str, extra: str, purpose: str) -> Any:
    """A module of a package that ``edframe[extra]`` installs, imported on use.

    purpose: what needs it, the subject of the sentence. Raises MissingError.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing(module, extra, purpose) from error
    except ImportError as error:
        raise missing(module, extra, purpose, f"cannot be imported ({error})") from error


def missing(module: str, extra: str, purpose: str, reason: str = "is not installed") -> MissingError:
    """The error of ``imported``."""
    package = module.partition(".")[0]
    return MissingError(f"{purpose} needs {package}, which {reason}; install it by `pip install 'edframe[{extra}]'`")

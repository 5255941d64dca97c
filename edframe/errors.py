"""One family of errors. Each carries a sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import shlex

__all__ = ["ConfigError", "DataError", "EdframeError", "PluginError", "RunError", "command"]


class EdframeError(Exception):
    """Base of every error edframe raises on purpose; the command line prints it and exits with status 2."""


class ConfigError(EdframeError):
    """A configuration that does not validate. The message names the key and its source."""


class PluginError(EdframeError):
    """A plugin that is broken, duplicated, of another API, or absent."""


class DataError(EdframeError):
    """Input data that cannot be used: unconverged, malformed, inconsistent."""


class RunError(EdframeError):
    """A run directory that cannot be written, read or resumed."""


def command(*words: object) -> str:
    """A command to type, between backticks in messages, quoted for a shell where its words need it."""
    return "`" + shlex.join(map(str, words)) + "`"

"""The checks run one after another without pytest, for ``edframe plugins check``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from unittest import SkipTest

from edframe.errors import PluginError
from edframe.testing.kit import Check, checks
from edframe.testing.subject import Subject


@dataclass(frozen=True)
class Outcome:
    """What a check found. reason: of a failure or of being skipped."""

    check: Check
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""
    error: BaseException | None = None


def outcomes(subject: Subject) -> Iterator[Outcome]:
    """The outcome of each check that components of its kind must pass, one by one. Raises PluginError where Python
    leaves assertions out."""
    if not __debug__:
        raise PluginError("the checks are assertions, which `python -O` and PYTHONOPTIMIZE leave out: do without them")
    for check in checks(subject.component.kind):
        try:
            check(subject)
        except SkipTest as skip:
            yield Outcome(check, "skipped", str(skip))
        except AssertionError as error:
            yield Outcome(check, "failed", str(error), error)
        except (Exception, SystemExit) as error:  # a component may fail in any way; the other checks go on
            yield Outcome(check, "failed", f"{type(error).__name__}: {error}", error)
        else:
            yield Outcome(check, "passed")

"""Checks without pytest: every outcome is said, and one failure hides no other."""

from __future__ import annotations

import subprocess
import sys
from unittest import SkipTest

from edframe.testing import run
from edframe.testing.kit import Check


def passing(subject):
    """Passes."""


def failing(subject):
    """Fails."""
    raise AssertionError("a loss must not be negative")


def raising(subject):
    """Raises."""
    raise ValueError("broken")


def leaving(subject):
    """Ends the program."""
    sys.exit(0)


def skipped(subject):
    """Is left out."""
    raise SkipTest("no baseline")


def test_each_check_has_its_outcome(subject_of, monkeypatch):
    every = [Check(check) for check in (failing, raising, leaving, skipped, passing)]
    monkeypatch.setattr(run, "checks", lambda kind: every)
    outcomes = [(str(one.check), one.status, one.reason) for one in run.outcomes(subject_of("loss", object))]
    assert outcomes == [
        ("failing", "failed", "a loss must not be negative"),
        ("raising", "failed", "ValueError: broken"),
        ("leaving", "failed", "SystemExit: 0"),
        ("skipped", "skipped", "no baseline"),
        ("passing", "passed", ""),
    ]


def test_without_assertions_nothing_passes(environment):
    command = [sys.executable, "-O", "-m", "edframe", "plugins", "check", "l1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: the checks are assertions, which `python -O`")
    assert "passed" not in done.stdout

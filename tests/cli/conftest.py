"""`edframe` in a process of its own, which a test can stop at a chosen moment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

PAUSING = """
import json, os, pathlib, time
from edframe.cli import display, main
from edframe.runs.events import to_dict

marker, moment = pathlib.Path(os.environ["MARKER"]), json.loads(os.environ["MOMENT"])
show = display.Display.show

def pausing(self, event):
    show(self, event)
    if not marker.exists() and moment.items() <= to_dict(event).items():
        marker.touch()
        while not marker.with_suffix(".sent").exists():
            time.sleep(0.01)  # interrupted by the signal

display.Display.show = pausing
main()
"""
"""The command line, waiting for a signal when it shows an event that matches ``moment``."""


@pytest.fixture(scope="session")
def process(environment):
    """Run ``python -m edframe`` with arguments, to its end."""

    def call(*arguments, **extra):
        command = [sys.executable, "-m", "edframe", *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, env={**environment, **extra}, timeout=300)
        return SimpleNamespace(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    return call


@pytest.fixture
def interrupted(environment, tmp_path):
    """Run the command line, and send a signal at the moment a given event is shown."""

    def call(arguments, moment, number=signal.SIGINT, **extra):
        driver, marker = tmp_path / "pausing.py", tmp_path / "marker"
        driver.write_text(PAUSING)
        command = [sys.executable, str(driver), *map(str, arguments)]
        variables = {**environment, "MARKER": str(marker), "MOMENT": json.dumps(moment), **extra}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=variables, **pipes) as running:
            while not marker.exists() and running.poll() is None:
                time.sleep(0.02)
            if running.poll() is None:
                running.send_signal(number)
            marker.with_suffix(".sent").touch()
            out, err = running.communicate(timeout=120)
        assert marker.exists(), f"the moment never came\n{out}\n{err}"
        return SimpleNamespace(code=running.returncode, out=out, err=err)

    return call

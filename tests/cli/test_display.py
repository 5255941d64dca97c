"""What a person is shown of the events of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edframe.cli.display import Display
from edframe.config.resolve import resolve
from edframe.runs.events import Unconverged


@pytest.mark.parametrize("diagnostic", ["unconverged", "sinkhorn.unconverged"])
def test_solves_that_did_not_converge_are_a_warning(registry, capsys, diagnostic):
    experiment, _ = resolve(registry, choices={"loss": "sinkhorn"})
    with Display(experiment, Path("runs/one")) as display:
        display.show(Unconverged("training", diagnostic, count=12, of=900))
    warning = capsys.readouterr().out.splitlines()[-1]
    assert warning.startswith("Warning: sinkhorn: 12 of 900 solves in training did not converge")
    assert "`edframe plugins show sinkhorn`" in warning

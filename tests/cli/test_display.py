"""What a person is shown of the events of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edframe.cli.display import Display
from edframe.config.resolve import resolve
from edframe.runs.events import Metric, Results, Unconverged


@pytest.mark.parametrize("diagnostic", ["unconverged", "sinkhorn.unconverged"])
def test_solves_that_did_not_converge_are_a_warning(registry, capsys, diagnostic):
    experiment, _ = resolve(registry, choices={"loss": "sinkhorn"})
    with Display(experiment, Path("runs/one")) as display:
        display.show(Unconverged("training", diagnostic, count=12, of=900))
    warning = capsys.readouterr().out.splitlines()[-1]
    assert warning.startswith("Warning: sinkhorn: 12 of 900 solves in training did not converge")
    assert "`edframe plugins show sinkhorn`" in warning


def test_what_is_not_defined_is_a_dash(registry, capsys):
    experiment, _ = resolve(registry)
    nan = float("nan")
    with Display(experiment, Path("runs/one")) as display:
        display.show(Results(2, {"dipole_error": Metric("e·Å", nan, nan, nan, nan, nan)}))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("dipole_error")]
    assert row.split() == ["dipole_error", "e·Å", "–", "–", "–", "–"]

"""Solves that did not converge are counted and in_one_sentence."""

from __future__ import annotations

import pytest

from edframe.metrics.convergence import in_one_sentence, unconverged
from edframe.runs.events import Unconverged


def test_count_is_over_all_samples_of_all_records():
    records = [
        {"unconverged": 1 / 3, "l1.unconverged": 0.0},
        {"unconverged": 2 / 3, "l1.unconverged": 0.0, "sinkhorn.unconverged": 1.0},
        {"unconverged": 0.0, "not_unconverged": 1.0},
    ]
    assert unconverged(records, "training", samples=3) == [
        Unconverged("training", "unconverged", count=3, of=9),
        Unconverged("training", "sinkhorn.unconverged", count=3, of=3),
    ]


def test_nothing_is_said_when_all_converged():
    assert unconverged([{"unconverged": 0.0}, {}], "evaluation") == []


@pytest.mark.parametrize(
    ("diagnostic", "loss"),
    [("unconverged", "mix"), ("sinkhorn.unconverged", "sinkhorn"), ("mix.sinkhorn.unconverged", "sinkhorn")],
)
def test_sentence_names_the_loss_the_count_and_where_to_look(diagnostic, loss):
    event = Unconverged("training", diagnostic, count=12, of=900)
    assert in_one_sentence(event, "mix") == (
        f"{loss}: 12 of 900 solves in training did not converge, so their values are less exact than asked for; "
        f"`edframe plugins show {loss}` lists the options to change"
    )

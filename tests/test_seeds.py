"""Random numbers by purpose."""

from __future__ import annotations

import subprocess
import sys

from edframe.seeds import seed_for

PURPOSES = ("weights", "folds", "batches", "augmentation", "dropout")


def test_seeds_differ_by_root_purpose_step_and_rank():
    seeds = [
        seed_for(root, purpose, step, rank)
        for root in range(3)
        for purpose in PURPOSES
        for step in range(20)
        for rank in range(2)
    ]
    assert len(set(seeds)) == len(seeds)


def test_seeds_fit_every_generator():
    assert all(0 <= seed_for(root, "batches", 1) < 2**63 for root in (0, 1, 2**31 - 1))


def test_seed_is_the_same_in_another_process():
    """Unlike ``hash`` of a string."""
    code = "from edframe.seeds import seed_for; print(seed_for(5, 'dropout', 7))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) == seed_for(5, "dropout", 7)

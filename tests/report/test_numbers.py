"""How numbers are written."""

import math

import pytest

from edframe.report.numbers import duration, interval, number, rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.3, "2.30"), (0.012345, "0.0123"), (1234.5, "1234"), (0.99999, "1.00"), (99.96, "100"), (0.0, "0"),
        (-0.5, "−0.500"), (1.2345e-7, "1.23×10⁻⁷"), (9.999e-7, "1.00×10⁻⁶"), (1e6, "1.00×10⁶"), (12, "12"),
        (math.nan, "–"), (None, "–"), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_interval():
    assert interval(1.0, 2.0) == "1.00 to 2.00"
    assert interval(math.nan, 2.0) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (45, "45 s"), (242, "4 min 02 s"), (11520, "3 h 12 min"), (None, "–")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_rows():
    nested = {"command": "edframe run", "versions": {"torch": "2"}, "seeds": [1, 2], "none": None}
    assert rows(nested) == [("command", "edframe run"), ("versions.torch", "2"), ("seeds", "1, 2")]

"""Eleven digits against exact decimal arithmetic."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edframe.io.fortran import lines

FINITE = st.floats(allow_nan=False, allow_infinity=False)
FEW_DIGITS = st.builds(
    lambda digits, power, sign: sign * digits * 10.0**power, st.integers(0, 10**6), st.integers(-12, 8), st.just(-1.0)
)
TIES = st.builds(lambda digits, halvings: (digits + 0.5) / 2**halvings, st.integers(10**10, 10**11), st.integers(0, 30))
"""Exactly between two decimals of eleven digits, or near."""


def exact(value: float) -> str:
    """By rounding the value's exact decimal expansion, ties to even."""
    with decimal.localcontext(prec=11, rounding=decimal.ROUND_HALF_EVEN):
        _, digits, power = (+abs(Decimal(value))).as_tuple()
    text = "".join(map(str, digits)).ljust(11, "0") if value else "0" * 11
    exponent = power + len(digits) if value else 1
    return f"{'-' if math.copysign(1, value) < 0 else '0'}.{text}E{exponent:+03d}"


@given(arrays(np.float64, st.integers(0, 23), elements=st.one_of(FINITE, FEW_DIGITS, TIES)))
@example(np.array([0.0, -0.0, 5e-324, -1.7976931348623157e308, 2.2250738585072014e-308]))
@example(np.array([9.99999999995, 9.999999999949999, 0.099999999999999999, 1e100, 9.9999999999999e98]))
def test_digits_are_those_of_exact_rounding(values):
    words = b"".join(lines(values)).decode().split()
    assert words == [exact(value) for value in values.tolist()]


@given(st.integers(0, 2**32), st.sampled_from([1.0, 1e-3, 1e-95, 1e-300, 1e200]))
def test_many_at_once_are_as_each_alone(seed, scale):
    values = np.random.default_rng(seed).standard_normal(100) * scale
    expected = [line for value in values for line in b"".join(lines(np.array([value]))).split()]
    assert b"".join(lines(values)).split() == expected


@pytest.mark.parametrize("count", [1, 4, 5, 6, 5 * 8192, 5 * 8192 + 3])
def test_five_on_a_line(count):
    text = b"".join(lines(np.full(count, 0.25)))
    counts = [len(line.split()) for line in text.split(b"\n")]
    assert counts == [5] * (count // 5) + [count % 5] * bool(count % 5) + [0]

"""How numbers are written: three significant digits, true minus signs, powers of ten."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edframe.config.leaves import leaves

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: Any, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, as ``0.0123``, ``2.30``, ``1.2×10⁻⁷``; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return f"{value}".replace("-", "−")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 < exponent < 5:
        return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")
    return f"{value / 10.0**exponent:.{digits - 1}f}".replace("-", "−") + f"×10{str(exponent).translate(_SUPERSCRIPT)}"


def interval(low: Any, high: Any) -> str:
    """``low`` to ``high``; a dash where they are not known."""
    ends = number(low), number(high)
    return "–" if "–" in ends else f"{ends[0]} to {ends[1]}"


def duration(seconds: Any) -> str:
    """Seconds in the unit a person would say, e.g. ``45 s``, ``4 min 02 s``, ``3 h 12 min``."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{number(float(seconds), 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, text), in order, without what is None."""
    return [(key, _text(value)) for key, value in leaves(values) if value is not None]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

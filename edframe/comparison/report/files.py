"""The numbers of a comparison as files: the long table for programs, a short one for papers."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edframe.comparison.report.looks import headed, of_interest
from edframe.comparison.report.rows import Mean, Row
from edframe.report.numbers import number

if TYPE_CHECKING:
    from pandas import DataFrame

WITHOUT_PYARROW = "compare.parquet is not written, because pyarrow is not installed: pip install 'edframe[compare]'"


def csv(table: DataFrame) -> bytes:
    """``frame`` as CSV; numbers in as many digits as give them back."""
    return bytes(table.to_csv(index=False).encode())


def parquet(table: DataFrame) -> bytes | None:
    """``frame`` as Parquet; None when pyarrow is not installed."""
    stream = io.BytesIO()
    try:
        table.to_parquet(stream, engine="pyarrow", index=False)
    except ImportError:
        return None
    return stream.getvalue()


def tex(table: Sequence[Row], units: Mapping[str, str]) -> bytes:
    """``rows`` as a LaTeX tabular with the rules of booktabs: the metrics of interest, and what a step costs."""
    from pandas import DataFrame

    shown = of_interest(list(units))
    lines = []
    for row in table:
        line = {**row.condition, "variant": row.variant, "runs": str(row.runs)}
        for metric in shown:
            text = measured(row.means[metric])
            line[headed(metric, units)] = rf"{{\boldmath{text}}}" if metric in row.best else text
        line["step (ms)"] = _mathematics(number(row.step))
        line["memory (MB)"] = _mathematics(number(row.memory))
        lines.append(line)
    texts = DataFrame(lines)
    words = [*table[0].condition, "variant", "runs"]
    style = texts.style.hide(axis="index").format(escape="latex", subset=words).format_index(escape="latex", axis=1)
    body = style.to_latex(
        hrules=True, column_format="l" * (len(words) - 1) + "r" * (len(texts.columns) - len(words) + 1)
    )
    return f"% needs \\usepackage{{booktabs}}\n{body}".encode()


def measured(mean: Mean) -> str:
    """A mean with its interval in LaTeX's mathematics, to two digits of the latter: ± where it is symmetric."""
    if not math.isfinite(mean.low) or mean.low == mean.high:
        return _mathematics(number(mean.value))
    above, below = mean.high - mean.value, mean.value - mean.low
    if not math.isclose(above, below, rel_tol=1e-6):
        return (
            f"{_mathematics(number(mean.value))} [{_mathematics(number(mean.low))}, {_mathematics(number(mean.high))}]"
        )
    from uncertainties import ufloat

    return f"${ufloat(mean.value, above):.2uL}$"


def _mathematics(text: str) -> str:
    """What ``number`` wrote, in LaTeX: 1.2×10⁻⁷ has letters that most of its fonts lack."""
    digits, power, exponent = text.replace("−", "-").partition("×10")
    if not power:
        return f"${digits}$" if digits != "–" else "--"
    return rf"${digits} \times 10^{{{exponent.translate(str.maketrans('⁰¹²³⁴⁵⁶⁷⁸⁹⁻', '0123456789-'))}}}$"

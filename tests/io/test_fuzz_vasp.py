"""Damaged CHGCARs: each is read as what it still is, or refused in one sentence, in little memory."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edframe.io.vasp  # so that its import is not in the memory of an example
from edframe.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

VALUES = "".join(f" {0.37 * k - 1:.11E}" + "\n" * (k % 5 == 0 or k == 24) for k in range(1, 25))
BLOCK = f"""    2    3    4
{VALUES}augmentation occupancies   1   3
  0.2743786E+00 -0.3307158E-01  0.0000000E+00
augmentation occupancies (imaginary part)   1   3
  0.2743786E+00 -0.3307158E-01  0.0000000E+00
"""
TITLE = """Li F
   1.0
 3.0 0.0 0.1
 0.0 3.0 0.0
 0.0 -0.2 4.0
   Li   F
     1     1
Direct
 0.0 0.0 0.0
 0.5 0.5 0.5

"""
FILES = [TITLE + BLOCK, TITLE + BLOCK + "  0.1E+01  0.2E+01\n" + BLOCK, TITLE + 4 * BLOCK]

MEMORY = 4_000_000
"""Bytes; some pieces of a quarter MiB each."""

WORDS = st.sampled_from(
    ["nan", "-inf", "****", "0", "-1", "1e999", "1E-400", "0.1-100", "1.2.3", "1-2", "1_0", "0x1F", "+", ",", "Li", "é"]
)
COUNTS = st.integers(10, 10**20).map(str)
"""Of atoms or of points, far more than there are."""


@st.composite
def damaged(draw) -> bytes:
    """One of the files after a few accidents."""
    text = draw(st.sampled_from(FILES)).encode()
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True)
        place = draw(st.integers(0, max(len(lines) - 1, 0)))
        words = lines[place].split(b" ") if lines else [b""]
        word, other = (draw(st.integers(0, len(words) - 1)) for _ in range(2))
        match draw(st.sampled_from(["flip", "delete", "repeat", "cut", "word", "swap", "move", "join", "insert"])):
            case "flip" if text:
                at = draw(st.integers(0, len(text) - 1))
                text = text[:at] + bytes([draw(st.integers(0, 255))]) + text[at + 1 :]
                continue
            case "cut":
                text = text[: draw(st.integers(0, len(text)))]
                continue
            case "delete":
                lines[place : place + 1] = []
            case "repeat":
                lines[place : place + 1] *= draw(st.integers(2, 3))
            case "word":
                words[word] = draw(WORDS | COUNTS).encode()
                lines[place : place + 1] = [b" ".join(words)]
            case "swap":
                words[word], words[other] = words[other], words[word]
                lines[place : place + 1] = [b" ".join(words)]
            case "move" if lines:
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(place))
            case "join":
                lines[place : place + 1] = [b" ".join(words).rstrip()]
            case "insert":
                lines.insert(place, draw(st.binary(max_size=12)) + b"\n")
        text = b"".join(lines)
    return text


def check(folder, text: bytes, name: str) -> bool:
    """Whether it was read."""
    path = folder / name
    path.write_bytes(gzip.compress(text, 1) if name.endswith(".gz") else text)
    sentence, volume = "", None
    tracemalloc.start()
    try:
        volume = edframe.io.read(path)
    except DataError as error:
        sentence = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
    if volume is None:
        assert str(path) in sentence
        assert "\n" not in sentence
        return False
    assert len(volume.fields) in (1, 2, 4)
    assert set(volume.augmentation) <= set(volume.fields)
    assert np.isfinite(volume.structure.frac_coords).all()
    for values in volume.fields.values():
        assert np.isfinite(values).all()
    return True


NAMES = st.sampled_from(["CHGCAR", "LOCPOT", "CHGCAR.gz"])


def test_the_undamaged_files_are_read(tmp_path):
    for text in FILES:
        assert check(tmp_path, text.encode(), "CHGCAR")


@given(damaged(), NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused(tmp_path, text, name):
    check(tmp_path, text, name)


@pytest.mark.slow
@given(damaged(), NAMES)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_damaged_files_are_read_or_refused(tmp_path, text, name):
    check(tmp_path, text, name)


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_else_is_refused(tmp_path, data):
    path = tmp_path / "CHGCAR.gz"
    path.write_bytes(data)
    with pytest.raises(DataError):
        edframe.io.read(path)
    check(tmp_path, data, "CHGCAR")

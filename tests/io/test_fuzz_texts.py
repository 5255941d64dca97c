"""10⁵ damaged CHGCAR, cube, XSF, xyz and POSCAR texts: each is refused in one sentence, or read as what stands there.

What stands there is told by a few lines that split words and know no errors. A case is its kind and number: the draw
of ``damaged("cube", 17)`` is the same everywhere. ``pytest -m slow tests/io/test_fuzz_texts.py`` takes all of them.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from edframe import io
from edframe.errors import DataError
from edframe.io.structures import read_structures

SAMPLE, ALL = 60, 20_000
"""Cases of each kind, in the quick test and in the slow one."""

DENSITY = 8 / 64 * (1 + 0.3 * np.cos(2 * np.pi * np.arange(4) / 4))[:, None, None] * np.ones((4, 3, 5))
"""8 e in 64 Å³, e/Å³."""


def block(values, per_line):
    words = [f"{value:.8E}" for value in values]
    return "".join(" ".join(words[k : k + per_line]) + "\n" for k in range(0, len(words), per_line))


POSCAR = "H2O\n1.0\n4.0 0.0 0.0\n0.0 4.0 0.0\n0.0 0.0 4.0\nO H\n1 2\nDirect\n0.5 0.5 0.5\n0.7 0.5 0.5\n0.4 0.7 0.5\n"
EDGE = 4 / 0.529177210544
CUBE = f"water\nmade up\n3 0.0 0.0 0.0\n4 {EDGE / 4:.6f} 0 0\n3 0 {EDGE / 3:.6f} 0\n5 0 0 {EDGE / 5:.6f}\n"
CUBE += "8 0.0 3.78 3.78 3.78\n1 0.0 5.29 3.78 3.78\n1 0.0 3.02 5.29 3.78\n"
PADDED = np.pad(DENSITY, [(0, 1)] * 3, mode="wrap")
XSF = "CRYSTAL\nPRIMVEC\n4.0 0.0 0.0\n0.0 4.0 0.0\n0.0 0.0 4.0\n"
XSF += "PRIMCOORD\n3 1\n8 2.0 2.0 2.0\n1 2.8 2.0 2.0\n1 1.6 2.8 2.0\n"
XSF += "BEGIN_BLOCK_DATAGRID_3D\ndensity\nBEGIN_DATAGRID_3D_rho\n5 4 6\n"
XSF += "0.0 0.0 0.0\n4.0 0.0 0.0\n0.0 4.0 0.0\n0.0 0.0 4.0\n"
FRAME = '3\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 2 2 2\nH 2.8 2 2\nH 1.6 2.8 2\n'
TEXTS = {
    "CHGCAR": POSCAR + "\n 4 3 5\n" + block((DENSITY * 64).ravel("F"), 5),
    "water.cube": CUBE + block((DENSITY * 0.529177210544**3).ravel(), 6),
    "water.xsf": XSF + block(PADDED.ravel("F"), 6) + "END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n",
    "water.xyz": FRAME + FRAME,
    "POSCAR": POSCAR,
}
WORDS = [
    "nan",
    "-inf",
    "****",
    "0",
    "-1",
    "7",
    "1e999",
    "1E-400",
    "0.1-100",
    "1.2.3",
    "1-2",
    "1_0",
    "0x1F",
    "+",
    ",",
    "Li",
    "é",
    "99999999",
    "",
]


def damaged(kind: str, number: int) -> bytes:
    """One to three accidents to a text."""
    rng = np.random.default_rng([sorted(TEXTS).index(kind), number])
    text = TEXTS[kind].encode()
    for _ in range(rng.integers(1, 4)):
        at, lines = int(rng.integers(0, max(len(text), 1))), text.splitlines(keepends=True) or [b""]
        place, other = (int(rng.integers(0, len(lines))) for _ in range(2))
        match int(rng.integers(0, 9)):
            case 0 if text:  # a character becomes another
                text = text[:at] + bytes([rng.integers(0, 256)]) + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + int(rng.integers(1, 30)) :]
            case 2:
                text = text[:at]
            case 3:
                text = text[:at] + WORDS[rng.integers(len(WORDS))].encode() + text[at:]
            case 4 | 5:
                words = lines[place].split(b" ")
                words[rng.integers(len(words))] = WORDS[rng.integers(len(WORDS))].encode()
                text = b"".join([*lines[:place], b" ".join(words), *lines[place + 1 :]])
            case 6:
                text = b"".join(lines[:place] + lines[place + 1 :])
            case 7:
                text = b"".join([*lines[:place], lines[place], *lines[place:]])
            case _:
                lines[place], lines[other] = lines[other], lines[place]
                text = b"".join(lines)
    return text


def standing(kind: str, text: bytes) -> np.ndarray | None:
    """The values that stand in a CHGCAR or cube, up to a factor, ``[x, y, z]``; None where that is hard to say."""
    lines = text.decode("utf-8", "replace").splitlines()
    try:
        if kind == "CHGCAR":
            atoms = sum(map(int, lines[6].split()))
            start = 8 + atoms + 1
            shape, order = [int(word) for word in lines[start].split()], "F"
        else:
            start = 5 + abs(int(lines[2].split()[0]))
            shape, order = [abs(int(lines[k].split()[0])) for k in (3, 4, 5)], "C"
        words = " ".join(lines[start + 1 :]).split()[: int(np.prod(shape))]
        return np.array([float(word) for word in words]).reshape(shape, order=order)
    except (ValueError, IndexError):
        return None


def assert_read_or_refused(folder, kind: str, number: int) -> bool:
    """Whether it was read."""
    path, text = folder / kind, damaged(kind, number)
    path.write_bytes(text)
    sentence, content = "", None
    try:
        content = read_structures(path) if kind in ("POSCAR", "water.xyz") else io.read(path)
    except DataError as error:
        sentence = str(error)
    if content is None:
        assert kind in sentence, (kind, number)
        assert "\n" not in sentence, (kind, number)
        return False
    structures = [content.structure] if isinstance(content, io.Volume) else content.structures
    for structure in structures:
        assert len(structure) > 0
        assert np.isfinite(structure.cart_coords).all(), (kind, number)
        assert 0 < structure.volume < np.inf, (kind, number)
    if isinstance(content, io.Volume):
        assert all(np.isfinite(values).all() for values in content.fields.values()), (kind, number)
        expected = standing(kind, text) if kind != "water.xsf" and len(content.fields) == 1 else None
        if expected is not None and expected.shape == content.grid.shape and abs(expected).max() > 0:
            (values,) = content.fields.values()
            factor = (values * expected).sum() / (expected**2).sum() if (expected**2).sum() < 1e300 else None
            if factor is not None:
                np.testing.assert_allclose(
                    values, factor * expected, atol=1e-9 * abs(values).max(), err_msg=f"{kind} {number}"
                )
    return True


@pytest.mark.parametrize("kind", TEXTS)
def test_undamaged_texts_are_read(tmp_path, kind):
    (tmp_path / kind).write_text(TEXTS[kind])
    if kind in ("POSCAR", "water.xyz"):
        assert [one.formula for one in read_structures(tmp_path / kind).structures][:1] == ["H2 O1"]
        return
    volume = io.read(tmp_path / kind)
    np.testing.assert_allclose(volume.fields["total"], DENSITY, rtol=2e-5)
    assert re.fullmatch("H2 O1|O1 H2", volume.structure.formula)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TEXTS)
def test_damaged_texts_are_read_or_refused(tmp_path, kind):
    read = sum(assert_read_or_refused(tmp_path, kind, number) for number in range(SAMPLE))
    assert 0 < read < SAMPLE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", [252, 520, 522])
def test_frames_of_no_atoms_or_absurd_ones_were_read_once(tmp_path, number):
    assert not assert_read_or_refused(tmp_path, "water.xyz", number)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TEXTS)
def test_all_damaged_texts_are_read_or_refused(tmp_path, kind):
    for number in range(ALL):
        assert_read_or_refused(tmp_path, kind, number)

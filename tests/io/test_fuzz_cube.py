"""Damaged cube and XSF files: a volume comes out, or a DataError, in bounded memory."""

from __future__ import annotations

import gzip
import importlib.util
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edframe import io
from edframe.errors import DataError


def neighbour(name):
    """A test module beside this one, for its made-up files."""
    spec = importlib.util.spec_from_file_location(f"edframe_tests_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CUBE, XSF = neighbour("test_cube"), neighbour("test_xsf")
HEAD = CUBE.HEAD.replace("    2    0.1", "   -2    0.1") + "    2   21   22\n"
FILES = {
    "bohr.cube": CUBE.text_of(),
    "angstrom.cube": CUBE.text_of(head=CUBE.ANGSTROM),
    "fields.cube": CUBE.text_of([float(k) for k in range(48)], HEAD),
    "one.xsf": XSF.text_of(title="3D_PWSCF"),
    "several.xsf": XSF.text_of(XSF.grid_text("DATAGRID_3D_a"), XSF.grid_text("DATAGRID_3D_b"), title="field"),
}
WORDS = [
    "nan",
    "-inf",
    "****",
    "0",
    "-1",
    "1",
    "2",
    "999999999",
    "-999999999",
    "99999999999999999999",
    "1e400",
    "1e-400",
    "1e308",
    "-1e308",
    "1D+02",
    "0.1-100",
    "1.2.3",
    "1_0",
    "0x10",
    "+",
    "-",
    ".",
    "E",
    "#",
    "CRYSTAL",
    "PRIMVEC",
    "PRIMCOORD",
    "BEGIN_BLOCK_DATAGRID_3D",
    "DATAGRID_3D_x",
    "END_DATAGRID_3D",
]

position = st.floats(0, 1, exclude_max=True)
damage = st.one_of(
    st.tuples(st.just("word"), position, st.sampled_from(WORDS).map(str.encode)),
    st.tuples(st.just("word"), position, st.integers(-5, 130).map(lambda n: str(n).encode())),
    st.tuples(st.just("insert"), position, st.binary(min_size=1, max_size=4) | st.sampled_from([b"\n", b" ", b"\r\n"])),
    st.tuples(st.just("delete"), position, st.integers(1, 40)),
    st.tuples(st.just("cut"), position, st.none()),
    st.tuples(st.just("drop line"), position, st.none()),
    st.tuples(st.just("repeat line"), position, st.none()),
)  # fmt: skip


def damaged(data, kind, place, what):
    at = int(place * len(data))
    if kind == "word":
        words = data.split(b" ")
        words[int(place * len(words))] = what
        return b" ".join(words)
    if kind in ("drop line", "repeat line"):
        lines = data.splitlines(keepends=True)
        number = int(place * len(lines))
        return b"".join(
            line * (2 if kind == "repeat line" else 0) if k == number else line for k, line in enumerate(lines)
        )
    if kind == "insert":
        return data[:at] + what + data[at:]
    return data[:at] + (data[at + what :] if kind == "delete" else b"")


def comes_out_whole_or_not_at_all(folder, name, damages, packed):
    data = FILES[name].encode()
    for kind, place, what in damages:
        data = damaged(data, kind, place, what)
    if packed:
        data = gzip.compress(data)
        if packed == "damaged":
            data = damaged(data, *damages[0])
    path = folder / (name + ".gz" * bool(packed))
    path.write_bytes(data)
    volume = problem = None
    tracemalloc.start()
    try:
        volume = io.read(path)
    except DataError as error:
        problem = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert problem is None or (path.name in problem and "\n" not in problem)
    # A few chunks of a million bytes, whatever the file says of itself.
    assert peak < 12e6
    if volume is not None:
        assert np.isfinite(volume.structure.cart_coords).all()
        assert 0 < volume.grid.volume < np.inf
        assert all(np.isfinite(values).all() and values.dtype == np.float64 for values in volume.fields.values())
    return volume


inputs = (
    st.sampled_from(sorted(FILES)),
    st.lists(damage, min_size=1, max_size=4),
    st.sampled_from(["", "", "", "packed", "damaged"]),
)


@pytest.mark.parametrize("name", FILES)
def test_undamaged_they_are_read(tmp_path, name):
    assert comes_out_whole_or_not_at_all(tmp_path, name, [], "") is not None


def fuzz(name, damages, packed):
    with tempfile.TemporaryDirectory() as folder:
        comes_out_whole_or_not_at_all(Path(folder), name, damages, packed)


quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
test_damaged_files = quick(given(*inputs)(fuzz))
thorough = settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
test_many_damaged_files = pytest.mark.slow(thorough(given(*inputs)(fuzz)))

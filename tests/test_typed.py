"""What the distributions promise about types and shapes, to type checkers and to the tests."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
import subprocess
import sys
import zipfile
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import flit_core.buildapi
import jaxtyping
import pytest
import torch

from edframe.grid import Grid
from edframe.interfaces import Features

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
PACKAGES = [ROOT / "edframe", *sorted(path for path in ROOT.glob("plugins/*/src/*") if (path / "py.typed").exists())]

AXES = re.compile(r"\b(?:Bool|Complex|Float|Int|Shaped)\[Tensor, '[^']*'\]")


def annotations(body, prefix=""):
    """Public functions and fields of a module or class: their names, and what they are annotated with."""
    for node in body:
        name = prefix + getattr(node, "name", "")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from annotations(node.body, f"{name}.")
        elif isinstance(node, ast.FunctionDef) and re.match("[a-z]|__call__|__init__", node.name):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            given = [argument.annotation for argument in arguments] + [node.returns]
            yield name, " ".join(ast.unparse(annotation) for annotation in given if annotation is not None)
        elif isinstance(node, ast.AnnAssign) and prefix:
            yield f"{prefix}__init__", ast.unparse(node.annotation)


def modules():
    """Module names, and the source of each."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            yield ".".join(path.relative_to(package.parent).with_suffix("").parts), path.read_text(encoding="utf-8")


ANNOTATED = [
    (module, name, text)
    for module, source in modules()
    for name, text in annotations(ast.parse(source).body)
    if re.search(r"\bTensor\b", text)
]


def function(module, name):
    """What ``name`` is in ``module``, as a function."""
    owner = importlib.import_module(module)
    *classes, last = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    member = inspect.getattr_static(owner, last)
    if isinstance(member, property | cached_property):
        member = member.fget if isinstance(member, property) else member.func
    return getattr(member, "__func__", member)


def unresolved(function):
    """Annotations that are still text."""
    signature = inspect.signature(function)
    hints = [*(parameter.annotation for parameter in signature.parameters.values()), signature.return_annotation]
    return [hint for hint in hints if isinstance(hint, str)]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda path: path.name)
def test_the_wheel_says_that_it_is_typed(distribution, tmp_path):
    with contextlib.chdir(distribution):
        name = flit_core.buildapi.build_wheel(str(tmp_path))
    package = name.partition("-")[0]
    assert f"{package}/py.typed" in zipfile.ZipFile(tmp_path / name).namelist()


def test_the_axes_of_every_public_tensor_are_named():
    assert len(ANNOTATED) > 100
    assert [(module, name) for module, name, text in ANNOTATED if re.search(r"\bTensor\b", AXES.sub("", text))] == []


def test_every_named_axis_is_checked():
    """A decorator that hides a function would drop its check in silence."""
    named = [(module, name) for module, name, _ in ANNOTATED if name != "KRR.__init__"]  # its fields are buffers
    assert [place for place in named if any("Tensor" in hint for hint in unresolved(function(*place)))] == []


def wrong_batch():
    from edframe.metrics.standard import nmae

    nmae(torch.ones(2, 1, 3, 3, 3), torch.ones(3, 1, 3, 3, 3))


def wrong_axes():
    from edframe_lp.loss import absolute_error

    absolute_error(torch.ones(2), torch.ones(2), Grid.of([1.0], 1))


def wrong_dtype():
    from edframe_krr.ridge import inverted

    inverted(torch.eye(3, dtype=torch.int64), 0.1)


def wrong_fields():
    Features(torch.ones(2, 4, 3, 3, 3), torch.ones(2, 1, 3, 3, 4))


def wrong_result():
    from edframe.train.loop import predict

    batch = SimpleNamespace(features=Features(torch.ones(2, 1, 3), None), grid=None, electrons=None)
    predict(lambda *inputs: torch.ones(2), batch)


@pytest.mark.parametrize("call", [wrong_batch, wrong_axes, wrong_dtype, wrong_fields, wrong_result])
def test_a_wrong_shape_is_caught(call):
    with pytest.raises(jaxtyping.TypeCheckError):
        call()


@pytest.mark.usefixtures("any_shape")
def test_a_test_may_hand_in_a_wrong_shape():
    Features(torch.ones(2, 4, 3, 3, 3), torch.ones(2, 1, 3, 3, 4))


def test_what_plugins_import_from_the_core_is_public():
    imported = {
        (node.module, alias.name)
        for module, source in modules()
        if not module.startswith("edframe.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edframe.")
        for alias in node.names
    }
    listed = {name: getattr(importlib.import_module(name), "__all__", None) for name, _ in imported}
    assert {"edframe.grid", "edframe.interfaces", "edframe.plugin"} <= {name for name, names in listed.items() if names}
    assert [(name, what) for name, what in imported if listed[name] is not None and what not in listed[name]] == []


def test_neither_jaxtyping_nor_beartype_is_needed():
    names = [module for module, source in modules() if "jaxtyping" in source]
    assert len(names) > 20
    code = "import importlib, sys\nsys.modules['jaxtyping'] = sys.modules['beartype'] = None\n"
    code += f"for name in {names}: importlib.import_module(name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

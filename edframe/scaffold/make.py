"""Makes a distribution with one component, complete and tested, from ``templates``."""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from edframe.contract.component import KINDS, Kind
from edframe.contract.hookspecs import PROJECT
from edframe.contract.registry import Registry, suggest
from edframe.errors import PluginError
from edframe.metrics.standard import UNITS
from edframe.runs.events import RESERVED
from edframe.version import API_VERSION, __version__

LONGEST = 24
"""Letters of a name: longer ones break the lines of the templates."""

NEEDS: dict[Kind, tuple[str, ...]] = {
    "loss": ("torch",),
    "featurizer": ("numpy", "pymatgen", "torch"),
    "model": ("torch",),
    "dataset": ("numpy", "pymatgen"),
}
"""What the code of each template imports beside edframe."""

FLAGS: dict[str, str] = {"loss": "--loss", "featurizer": "--featurizer", "model": "--model", "dataset": "--data"}


def make(kind: str, name: str, registry: Registry, folder: Path) -> Path:
    """Make the distribution ``edframe-NAME`` in ``folder``, whole or not at all; the folder with its files.

    Raises PluginError for an unknown kind, a name that has not the form of one or is taken, and a folder that exists
    or cannot be made.
    """
    checked = _kind(kind)
    _require_free(checked, name, registry)
    distribution = f"{PROJECT}-{name}"
    target = folder / distribution
    if target.exists():
        raise PluginError(f"{target} exists already: give another name, or go on in that folder")
    values = _values(checked, name, distribution)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{distribution}-") as unfinished:
            whole = Path(unfinished) / distribution
            for place, text in _templates(checked, values["module"]):
                file = whole / place
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(Template(text).substitute(values), encoding="utf-8")
            whole.rename(target)
    except OSError as error:
        raise PluginError(f"{target} cannot be made ({error.strerror or error}); work in another folder") from error
    return target


def _kind(kind: str) -> Kind:
    for known in KINDS:
        if kind == known:
            return known
    if kind == "metric":
        raise PluginError(
            "a metric is a loss that is evaluated and not trained on: make a loss, and choose it by "
            "`--set metrics=[NAME]`"
        )
    raise PluginError(f"there is no kind of component '{kind}'{suggest(kind, KINDS)}")


def _require_free(kind: Kind, name: str, registry: Registry) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise PluginError(
            f"'{name}' cannot be a name: it takes lower case letters and digits, words joined by hyphens, such as "
            f"'li-o-li', {LONGEST} characters at most"
        )
    for owner in registry.provided.get((kind, name), []):
        raise PluginError(f"{owner.label} has that name: choose another one")
    distribution = f"{PROJECT}-{name}"
    own = {re.split(r"[^\w-]", need, maxsplit=1)[0] for need in importlib.metadata.requires(PROJECT) or []}
    installed = {one.name for one in importlib.metadata.distributions()}
    if distribution in own | installed:
        raise PluginError(f"there is a distribution {distribution} already: choose another name")
    if kind == "loss" and name in RESERVED | UNITS.keys() | {"baseline_nmae"}:
        raise PluginError(f"'{name}' is the name of something else among the metrics of a sample: choose another one")


def _values(kind: Kind, name: str, distribution: str) -> dict[str, str]:
    """What stands for each ``$word`` of the templates."""
    major, minor = __version__.split(".")[:2]
    bounds = {re.split(r"[^\w-]", need, maxsplit=1)[0]: need for need in importlib.metadata.requires(PROJECT) or []}
    needs = [f"{PROJECT}>={major}.{minor},<{major}.{int(minor) + 1}", *(bounds[need] for need in NEEDS[kind])]
    words = name.removesuffix(f"-{kind}").split("-")
    return {
        "kind": kind,
        "name": name,
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "class": "".join(word.capitalize() for word in (*words, kind)),
        "flag": FLAGS[kind],
        "needs": ", ".join(f'"{need}"' for need in needs),
        "api": str(API_VERSION),
        "year": str(datetime.now(UTC).year),
    }


def _templates(kind: Kind, module: str) -> Iterator[tuple[Path, str]]:
    """Place and text of each template of a kind. ``module`` in a place is that of the distribution."""
    for room in ("every", kind):
        root = files("edframe.scaffold") / "templates" / room
        for parts, file in _walk(root):
            place = Path(*(module if part == "module" else part for part in parts))
            yield place.with_name(place.name.removesuffix(".txt")), file.read_text(encoding="utf-8")


def _walk(folder: Traversable, parts: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for inside in sorted(folder.iterdir(), key=lambda path: path.name):
        if inside.is_dir():
            yield from _walk(inside, (*parts, inside.name))
        else:
            yield (*parts, inside.name), inside

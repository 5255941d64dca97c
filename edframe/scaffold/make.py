"""Makes a distribution with one component, complete and tested, from ``templates``."""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
    values = _values(checked, name)
    texts = {place: text.encode() for room in ("every", checked) for place, text in templates(room, values)}
    return place_whole(folder / values["distribution"], texts)


def place_whole(target: Path, contents: Mapping[Path, bytes]) -> Path:
    """Make the folder ``target`` with these files, whole or not at all.

    Raises PluginError where it exists or cannot be made.
    """
    if target.exists():
        raise PluginError(f"{target} exists already: give another name, or go on in that folder")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as unfinished:
            whole = Path(unfinished) / target.name
            for place, data in contents.items():
                file = whole / place
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
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


def require_name(name: str) -> None:
    """Raises PluginError for what cannot be the name of a component or a model, or is that of a distribution."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise PluginError(
            f"'{name}' cannot be a name: it takes lower case letters and digits, words joined by hyphens, such as "
            f"'li-o-li', {LONGEST} characters at most"
        )
    distribution = f"{PROJECT}-{name}"
    own = {re.split(r"[^\w-]", need, maxsplit=1)[0] for need in importlib.metadata.requires(PROJECT) or []}
    installed = {one.name for one in importlib.metadata.distributions()}
    if distribution in own | installed:
        raise PluginError(f"there is a distribution {distribution} already: choose another name")


def _require_free(kind: Kind, name: str, registry: Registry) -> None:
    require_name(name)
    for owner in registry.provided.get((kind, name), []):
        raise PluginError(f"{owner.label} has that name: choose another one")
    if kind == "loss" and name in RESERVED | UNITS.keys() | {"baseline_nmae"}:
        raise PluginError(f"'{name}' is the name of something else among the metrics of a sample: choose another one")


def _values(kind: Kind, name: str) -> dict[str, str]:
    """What replaces each ``$word`` of a component's templates."""
    bounds = {re.split(r"[^\w-]", need, maxsplit=1)[0]: need for need in importlib.metadata.requires(PROJECT) or []}
    words = name.removesuffix(f"-{kind}").split("-")
    return distribution_values(name, [bounds[need] for need in NEEDS[kind]]) | {
        "kind": kind,
        "class": "".join(word.capitalize() for word in (*words, kind)),
        "flag": FLAGS[kind],
    }


def distribution_values(name: str, needs: Iterable[str]) -> dict[str, str]:
    """What replaces the ``$word`` that every distribution has. needs: requirements beside edframe."""
    major, minor = __version__.split(".")[:2]
    all_needs = [f"{PROJECT}>={major}.{minor},<{major}.{int(minor) + 1}", *needs]
    return {
        "name": name,
        "distribution": f"{PROJECT}-{name}",
        "module": f"{PROJECT}-{name}".replace("-", "_"),
        "needs": ", ".join(f'"{need}"' for need in all_needs),
        "api": str(API_VERSION),
        "year": str(datetime.now(UTC).year),
    }


def templates(room: str, values: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Place and text of each template in a room, filled in. ``module`` in a place is that of the distribution."""
    for parts, file in _walk(files("edframe.scaffold") / "templates" / room):
        place = Path(*(values["module"] if part == "module" else part for part in parts))
        text = Template(file.read_text(encoding="utf-8")).substitute(values)
        yield place.with_name(place.name.removesuffix(".txt")), text


def _walk(folder: Traversable, parts: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for inside in sorted(folder.iterdir(), key=lambda path: path.name):
        if inside.is_dir():
            yield from _walk(inside, (*parts, inside.name))
        else:
            yield (*parts, inside.name), inside

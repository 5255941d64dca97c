"""Trained models that are installed: found by name or by the elements of a structure, checked before they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from edframe.contract.pretrained import Pretrained
from edframe.contract.registry import Registry, Shipped, suggest
from edframe.data.cache import cache_folder
from edframe.errors import PluginError, RunError, imported

OFFLINE = "EDFRAME_OFFLINE"
"""Where this is set, nothing is fetched."""


def located(run: Path) -> Path:
    """The directory of a run or an ensemble, or of the trained model with this name.

    Raises RunError where there is neither, and where a file of the model is not what its distribution says.
    """
    if run.exists() or len(run.parts) != 1:
        return run
    registry = Registry.discover()
    if str(run) not in registry.shipped:
        hint = suggest(str(run), sorted(registry.shipped))
        raise RunError(f"{run} is neither a run directory nor the name of an installed model{hint}")
    return folder_of(registry.model(str(run)))


def covering(registry: Registry, species: Iterable[str]) -> Shipped:
    """The installed model for structures of these elements; of several, the one of the fewest elements.

    Raises PluginError where there is none.
    """
    wanted = set(species)
    fitting = [
        owners[0] for owners in registry.shipped.values() if len(owners) == 1 and wanted <= {*owners[0].model.species}
    ]
    if fitting:
        return min(fitting, key=lambda one: (len(one.model.species), one.model.name))
    elements = ", ".join(sorted(wanted))
    known = "; ".join(f"{name}: {', '.join(one[0].model.species)}" for name, one in sorted(registry.shipped.items()))
    raise PluginError(
        f"no installed model covers {elements} ({known or 'none is installed'}); give the directory of a run, or "
        "install a model, see `edframe models`"
    )


def folder_of(shipped: Shipped) -> Path:
    """The files of a model on this machine, each with the SHA-256 that its distribution states.

    Raises RunError where one has not, and where files must be fetched and cannot be.
    """
    model = shipped.model
    folder = _fetched(shipped) if model.remote else _installed(shipped)
    for name, checksum in model.files.items():
        file = folder / name
        try:
            with file.open("rb") as content:
                actual = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise RunError(
                f"{shipped.label}: {file} cannot be read ({error.strerror or error}); {_again(shipped)}"
            ) from error
        if actual != checksum:
            raise RunError(
                f"{shipped.label}: {file} was changed, its SHA-256 is {actual[:12]}… and not {checksum[:12]}…; it is "
                f"not read. {_again(shipped).capitalize()}"
            )
    return folder


def card(model: Pretrained) -> str:
    """The Markdown of its model card."""
    package, file = model.card.split(":")
    return (files(package) / file).read_text(encoding="utf-8")


def _again(shipped: Shipped) -> str:
    return f"install it again by `pip install --force-reinstall --no-deps {shipped.distribution}`"


def _installed(shipped: Shipped) -> Path:
    package, folder = shipped.model.source.split(":")
    try:
        return Path(str(files(package) / folder))
    except ModuleNotFoundError as error:
        raise RunError(f"{shipped.label}: its package {package} is not installed; {_again(shipped)}") from error


def _fetched(shipped: Shipped) -> Path:
    """Files from an address, once; each is named in the cache by its model and version."""
    model = shipped.model
    folder = cache_folder() / "models" / f"{model.name}-{model.version}"
    missing = [name for name in model.files if not (folder / name).is_file()]
    if not missing:
        return folder
    if os.environ.get(OFFLINE):
        raise RunError(
            f"{shipped.label}: {missing[0]} would be fetched from {model.source}, and {OFFLINE} is set; unset it once, "
            f"or put the files into {folder}"
        )
    pooch = imported("pooch", "models", f"the model {model.name}, which is fetched from {model.source},")
    for name in missing:
        place = folder / name
        try:
            pooch.retrieve(
                model.source + name, known_hash=f"sha256:{model.files[name]}", fname=place.name, path=place.parent
            )
        except Exception as error:  # of requests, of the network, of the disk, of a wrong hash
            raise RunError(f"{shipped.label}: {model.source}{name} cannot be fetched ({error})") from error
    return folder


def require_models(registry: Registry) -> None:
    """Raises PluginError where no model is installed."""
    if not registry.shipped:
        raise PluginError("no trained model is installed; `pip install edframe-models` has some")

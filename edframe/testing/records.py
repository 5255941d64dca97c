"""Checks of the record, whatever its kind. They import no torch."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel, ValidationError

from edframe.contract.component import OptionsOf, Range
from edframe.errors import PluginError
from edframe.testing.subject import Subject

HEAVY = ("torch", "pymatgen", "pyscf", "matplotlib", "zarr")
"""Packages that are imported when a component is used, never to list it."""


def name_is_kebab_case(subject: Subject) -> None:
    """The name is lower case, words joined by hyphens."""
    name = subject.component.name
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name), (
        f"the name '{name}' must be lower case letters and digits, words joined by hyphens, such as 'li-o-li'"
    )


def summary_is_one_line(subject: Subject) -> None:
    """The summary is one line, which `edframe plugins` prints."""
    summary = subject.component.summary
    assert summary.strip(), "the summary must say in one line what the component does; it is empty"
    assert "\n" not in summary, f"the summary must be one line: {summary!r}"


def references_are_bibtex(subject: Subject) -> None:
    """Each reference is one BibTeX entry."""
    for entry in subject.component.references:
        text = entry.strip()
        shaped = bool(re.match(r"@\w+\{[^\s,{}]+,.*\w+\s*=.*\}\Z", text, flags=re.DOTALL))
        shaped &= text.count("{") == text.count("}")
        assert shaped, f"a reference must be one BibTeX entry, '@article{{key, title = {{…}}, …}}', not: {text[:80]!r}"


def config_is_frozen(subject: Subject) -> None:
    """The config class is frozen: a validated config never changes."""
    for model in _models(subject.component.config):
        assert model.model_config.get("frozen"), f"{model.__name__} must be frozen, as ComponentConfig is"


def config_forbids_unknown_options(subject: Subject) -> None:
    """The config class refuses options it does not have, so that a misspelling is an error."""
    for model in _models(subject.component.config):
        assert model.model_config.get("extra") == "forbid", f"{model.__name__} must have extra='forbid'"


def options_are_described(subject: Subject) -> None:
    """Every option has a description, with its unit where it has one."""
    for model in _models(subject.component.config):
        for name, field in model.model_fields.items():
            assert (field.description or "").strip(), (
                f"the option '{name}' of {model.__name__} needs a docstring under it (with its unit, if it has one)"
            )


def config_has_defaults(subject: Subject) -> None:
    """The config can be made without options, so that the name alone chooses a component that works."""
    try:
        subject.component.config()
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise AssertionError(f"every option needs a valid default; these have none: {missing}") from error


def searched_values_are_valid(subject: Subject) -> None:
    """Each value that `edframe tune` may try is valid while the other options have their defaults."""
    config = subject.component.config
    for name, space in config.search.items():
        for value in (space.low, space.high) if isinstance(space, Range) else space.values:
            try:
                config(**{name: value})
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise AssertionError(f"{config.__name__}.search['{name}'] has {value!r}, refused: {reason}") from error


def factory_loads(subject: Subject) -> None:
    """The factory's path resolves to something that can be called."""
    try:
        factory = subject.component.load()
    except PluginError as error:
        raise AssertionError(str(error)) from error
    assert callable(factory), f"the factory '{subject.component.factory}' must be callable"


def parts_are_handed_in(subject: Subject) -> None:
    """A factory takes ``parts``, the components whose options its config holds (``OptionsOf``), if there are any."""
    fields = subject.component.config.model_fields.values()
    if any(isinstance(mark, OptionsOf) for field in fields for mark in field.metadata):
        assert "parts" in inspect.signature(subject.component.load()).parameters, (
            f"the factory '{subject.component.factory}' must have an argument `parts`, the components whose options "
            "its config holds, by name"
        )


def plugin_is_light(subject: Subject) -> None:
    """Importing the plugin's module imports no heavy package: the command line must stay quick."""
    loaded = _imported_by(subject.module)
    assert not loaded, (
        f"importing {subject.module} imports {', '.join(loaded)}: move what needs it to the factory's module"
    )


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The config class and the config classes of its fields."""
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _models(field.annotation)


@cache
def _imported_by(module: str) -> tuple[str, ...]:
    """Those of HEAVY that a fresh interpreter has after importing ``module``."""
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, f"importing {module} in a fresh interpreter fails:\n{result.stderr}"
    return tuple(result.stdout.split())


CHECKS = (
    name_is_kebab_case,
    summary_is_one_line,
    references_are_bibtex,
    config_is_frozen,
    config_forbids_unknown_options,
    options_are_described,
    config_has_defaults,
    searched_values_are_valid,
    factory_loads,
    parts_are_handed_in,
    plugin_is_light,
)

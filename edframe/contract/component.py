"""The record a plugin returns for each thing it offers. Light: pydantic only, no torch."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edframe.errors import PluginError

__all__ = [
    "KINDS",
    "Among",
    "Component",
    "ComponentConfig",
    "Kind",
    "OptionsOf",
    "Patterns",
    "Range",
    "Search",
    "Searchable",
]

Kind = Literal["featurizer", "model", "loss", "dataset"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Range:
    """Numbers that ``edframe tune`` searches, both ends included, in the unit of the option.

    Whole ends: whole numbers. log: uniform in the logarithm. step: distance between the numbers, from ``low`` on.
    Raises PluginError for ends that are no range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise PluginError(f"a range goes from low to high, not from {self.low} to {self.high}: exchange the ends")
        if self.log and (self.low <= 0 or self.step is not None):
            raise PluginError(
                f"a logarithmic range begins above 0 and has no step, unlike that from {self.low} to {self.high}: "
                "leave out log, or change that"
            )
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise PluginError(f"the step of a range from {self.low} to {self.high} cannot be {self.step}: give less")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are in it."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)


@dataclass(frozen=True)
class Among:
    """Values of which ``edframe tune`` tries each: what a config file may hold, also lists and null."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise PluginError(f"a search among {list(self.values)} has nothing to choose from: give two values or more")


Search = Mapping[str, Range | Among]
"""Where options are searched, by their names."""


class Searchable(BaseModel):
    """Options, frozen and without unknown keys, of which some may be searched by ``edframe tune``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    search: ClassVar[Search] = {}
    """Where the options of this class that decide how well a model learns are searched. Raises PluginError, where the
    class is defined, for what is no option of it or has a value that the option refuses."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name, space in cls.search.items():
            where = f"{cls.__name__}.search['{name}']"
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields) or "none"
                raise PluginError(f"{where}: there is no such option; rename or remove it (options: {known})")
            for value in (space.low, space.high) if isinstance(space, Range) else space.values:
                if refusal := cls._refusal(name, value):
                    raise PluginError(f"{where}: the option refuses {value!r} ({refusal}); leave that out")
            if isinstance(space, Range) and space.whole and cls._refusal(name, space.low + 0.5) is None:
                raise PluginError(f"{where}: its ends are whole, but the option takes fractions; write {space.low}.0")

    @classmethod
    def _refusal(cls, name: str, value: Any) -> str | None:
        """Why the option alone refuses a value; None where it does not."""
        try:
            cls.model_validate({name: value})
        except ValidationError as error:
            return next((problem["msg"] for problem in error.errors() if problem["loc"][:1] == (name,)), None)
        return None


class ComponentConfig(Searchable):
    """Base of every component's options: frozen, no unknown keys, every field with a unit-bearing description."""


Patterns = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: [given] if isinstance(given, str) else given), Field(min_length=1)
]
"""Type of an option that holds patterns of files; a single one need not be a list."""


@dataclass(frozen=True)
class OptionsOf:
    """Marks a field of a config class that holds the options of other components, by their names.

        weights: dict[str, float] = {"l1": 1.0}
        options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="weights")] = {}

    kind: of those components. named_in: the mapping beside it whose keys are their names. Before a run, each is
    validated by the config class of its component, and completed with its defaults. The components are built, and given
    to the factory as ``parts``, a mapping from their names. A config class has one such field at most.
    """

    kind: Kind
    named_in: str


@dataclass(frozen=True)
class Component:
    """One featurizer, model, loss or dataset that a plugin offers.

    kind: which of the four. name: what users type. summary: one line. config: the options' class.
    factory: ``"module:Class"``, imported only when the component is used. api: the API version of edframe
    (``edframe.API_VERSION``) it was written for, as a number: taken from the installed edframe it would always fit.
    references: BibTeX entries. featurizer: of a dataset, the one that suits its labels, taken where none is chosen;
    empty: the default of edframe. settings: of a dataset, values that go with that featurizer, by their keys, such as
    ``{"training.steps": 200}``: taken with it, where no source gives others.
    """

    kind: Kind
    name: str
    summary: str
    config: type[ComponentConfig]
    factory: str
    api: int
    references: tuple[str, ...] = ()
    featurizer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def load(self) -> Any:
        """Import and return the factory. Raises PluginError when the path does not resolve."""
        module, _, attribute = self.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.kind} '{self.name}': its factory '{self.factory}' cannot be loaded ({error}). "
                "Reinstall the plugin that provides it, or report this to its authors."
            ) from error

    def build(self, options: ComponentConfig, parts: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """What the factory makes of its options and the arguments of its kind. Raises PluginError as ``load``.

        parts: the components whose options it holds (``OptionsOf``), by name; a factory without an argument ``parts``
        is not given them.
        """
        factory = self.load()
        if parts and "parts" in inspect.signature(factory).parameters:
            kwargs["parts"] = parts
        return factory(options, *args, **kwargs)

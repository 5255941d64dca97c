"""A right record passes every check, and for each check a wrong record fails it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from edframe.contract.component import Among, ComponentConfig, OptionsOf, Search
from edframe.contract.registry import Registry
from edframe.errors import PluginError
from edframe.testing import component, records

CHECKS = {check.__name__: check for check in records.CHECKS}

ENTRY = "@article{Hohenberg1964, title = {{Inhomogeneous} Electron Gas}, year = {1964}}"


class Inner(ComponentConfig):
    depth: int = 1
    """Number of levels."""


class Right(ComponentConfig):
    blur: float = Field(0.3, gt=0)
    """Width of the blur in Å."""
    inner: Inner = Inner()
    """Options of the levels."""


class Thawed(ComponentConfig):
    model_config = ConfigDict(frozen=False)


class Lenient(ComponentConfig):
    model_config = ConfigDict(extra="ignore")


class LenientInside(BaseModel):
    model_config = ConfigDict(frozen=True)


class Nesting(ComponentConfig):
    inner: LenientInside = LenientInside()
    """Options."""


class Undescribed(ComponentConfig):
    blur: float = 0.3


class Searched(Right):
    """A value that is valid alone, and not beside the other default."""

    scale: float = 1.0
    """Factor (dimensionless)."""

    search: ClassVar[Search] = {"blur": Among((0.2, 2.0))}

    @model_validator(mode="after")
    def _blur_is_small(self):
        if self.blur > self.scale:
            raise ValueError("blur is larger than scale")
        return self


class Required(ComponentConfig):
    folder: str
    """Where the files are."""


class Mixing(ComponentConfig):
    weights: dict[str, float] = Field({"l1": 1.0})
    """Weight of each loss."""
    options: Annotated[dict[str, dict[str, Any]], OptionsOf("loss", named_in="weights")] = Field({})
    """Options of each loss."""


WRONG = [
    ("name_is_kebab_case", {"name": "Li_O_Li"}, "lower case"),
    ("summary_is_one_line", {"summary": " "}, "it is empty"),
    ("summary_is_one_line", {"summary": "one\ntwo"}, "one line"),
    ("references_are_bibtex", {"references": ("Hohenberg & Kohn 1964",)}, "one BibTeX entry"),
    ("references_are_bibtex", {"references": (ENTRY[:-1],)}, "one BibTeX entry"),
    ("config_is_frozen", {"config": Thawed}, "Thawed must be frozen"),
    ("config_forbids_unknown_options", {"config": Lenient}, "Lenient must have extra"),
    ("config_forbids_unknown_options", {"config": Nesting}, "LenientInside must have extra"),
    ("options_are_described", {"config": Undescribed}, "'blur' of Undescribed"),
    ("config_has_defaults", {"config": Required}, "these have none: folder"),
    ("searched_values_are_valid", {"config": Searched}, "has 2.0, refused: .*blur is larger than scale"),
    ("factory_loads", {"factory": "edframe_under_check:Absent"}, "cannot be loaded"),
    ("factory_loads", {"factory": "edframe.version:API_VERSION"}, "must be callable"),
    ("parts_are_handed_in", {"config": Mixing, "factory": "edframe.contract.registry:suggest"}, "an argument `parts`"),
    ("plugin_is_light", {"module": "edframe.testing.examples"}, "imports torch, pymatgen"),
    ("plugin_is_light", {"module": "edframe_absent"}, "fresh interpreter fails"),
]


@pytest.mark.parametrize("check", records.CHECKS, ids=lambda check: check.__name__)
def test_right_record_passes(subject_of, check):
    check(subject_of("loss", object, config=Right, references=(ENTRY,)))


@pytest.mark.parametrize(("name", "record", "message"), WRONG)
def test_wrong_record_fails(subject_of, name, record, message):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject_of("loss", object, **record))


def test_every_check_has_a_wrong_record():
    assert {name for name, _, _ in WRONG} == set(CHECKS)


def test_component_is_looked_up_with_its_plugin_module():
    subject = component("model", "unet", {"dropout": 0.25})
    assert subject.module == "edframe_unet.plugin"
    assert subject.config().dropout == 0.25


def test_absent_component_raises():
    with pytest.raises(PluginError, match="there is no loss 'l1'"):
        component("loss", "l1", registry=Registry())

"""The page: everything a run left on disk, put into the template and written."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edframe.errors import RunError
from edframe.files import whole
from edframe.metrics.convergence import in_one_sentence
from edframe.metrics.coulomb import LOW_G
from edframe.metrics.standard import DESCRIPTIONS
from edframe.report import curves, densities
from edframe.report.numbers import duration, interval, number, rows
from edframe.report.read import ROLES, Prediction, RunFiles, read_run
from edframe.report.style import DPI

if TYPE_CHECKING:
    from jinja2 import Environment

NAMES = {
    "nmae": "NMAE", "rmse": "RMSE", "electron_count_error": "electron count", "dipole_error": "dipole moment",
    "low_density_nmae": "NMAE, low density", "basin_error": "electrons per atom",
    "coulomb_error": "Coulomb energy", "low_g_error": "Coulomb energy, low G",
    "baseline_nmae": "NMAE of the baseline",
}  # fmt: skip
"""What the metrics are called in tables; a loss goes by its own name."""

FULL = 63.6
"""Width of the text of a page, in rem."""
WORST = 10
"""Rows of the table of worst samples."""


@dataclass(frozen=True)
class Picture:
    """One figure: file name below ``figures/``, PNG, text for those who do not see it, caption."""

    name: str
    image: bytes
    alt: str
    caption: str

    @property
    def source(self) -> str:
        """The image as a data URI, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.image).decode("ascii")


def build(directory: Path) -> Path:
    """Write the report of the run in ``directory``; return the path of ``report.html``. Raises RunError."""
    run = read_run(directory)
    numbers, structures = _number_pictures(run), _density_pictures(run)
    figures = directory / "figures"
    try:
        for picture in (*numbers.values(), *structures):
            _replace(figures / f"{picture.name}.png", picture.image)
        bibliography = "\n\n".join(run.references) or "% No component of this run names a reference."
        _replace(directory / "references.bib", f"{bibliography}\n".encode())
        page = directory / "report.html"
        _replace(page, _render(run, numbers, structures).encode())
    except OSError as error:
        raise RunError(
            f"the report cannot be written to {directory}: {error.strerror or error}; fix that, then write it by "
            f"`edframe report {directory}`"
        ) from error
    return page


def _render(run: RunFiles, numbers: Mapping[str, Picture], structures: Sequence[Picture]) -> str:
    provenance = {key: value for key, value in run.provenance.items() if key != "references"}
    template = environment("edframe.report").get_template("template.html")
    return template.render(
        title=str(run.config.get("name") or run.directory.name),
        composition=[_component(run, block) for block in ("data", "featurizer", "model", "loss")],
        headline=f"{_headline(run)}{_electrostatics(run)}",
        warnings=[
            *(in_one_sentence(event, _component(run, "loss")["name"]) for event in run.unconverged),
            *(remark.sentence for remark in run.remarks),
        ],
        facts=_facts(run),
        status=str(run.provenance.get("status", "")),
        summary=_summary_rows(run),
        numbers=numbers,
        structures=structures,
        maps=any(sample.grid.dimension > 1 for sample in run.predictions),
        worst=_worst(run),
        samples=len(run.samples),
        validated=bool(run.validations),
        fit=_fit(run),
        config_text=run.config_text,
        provenance=rows(provenance),
        references=run.references,
    )


def environment(package: str) -> Environment:
    """Templates in the folder of ``package``: what they are given is escaped, and missing names are errors.

    ``style`` is the CSS of all pages.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(number=number, interval=interval, width=_width)
    made.globals["style"] = resources("edframe.report").joinpath("style.css").read_text(encoding="utf-8")
    return made


def _width(picture: Picture) -> str:
    """How wide a figure is shown at most: 10 inches fill the page, so that letters have one size in all."""
    pixels = int.from_bytes(picture.image[16:20], "big")  # of a PNG's head
    return f"{pixels / (10 * DPI) * FULL:.1f}rem"


def _component(run: RunFiles, block: str) -> dict[str, str]:
    chosen = run.config.get(block)
    return {"kind": block, "name": str(chosen.get("name", "–")) if isinstance(chosen, Mapping) else "–"}


def _headline(run: RunFiles) -> str:
    error = run.summary.get("nmae")
    if error is None or math.isnan(error.mean):
        return "This run has no test results: it has not been evaluated, or was stopped before."
    count = len(run.samples)
    where = f"On {count} test structures" if count > 1 else "On one test structure" if count else "On the test set"
    text = f"{where} the predicted density is off by {number(error.mean)} % of the electrons (NMAE"
    known = interval(error.low, error.high)
    text += f"; 95% interval of the mean {known} %)" if known != "–" else ")"
    base = run.summary["baseline_nmae"].mean if "baseline_nmae" in run.summary else math.nan
    if math.isnan(base):
        return f"{text}. The featurizer gives no baseline to compare with."
    text += f"; the baseline it starts from, by {number(base)} %."
    if 0 < error.mean < base:
        text += f" The model removes {100 * (1 - error.mean / base):.0f} % of the baseline's error."
    elif error.mean >= base:
        text += " The model does not improve on its baseline."
    return text


def _electrostatics(run: RunFiles) -> str:
    """What a self-consistent field would feel of the error, in a sentence; empty where it is not known."""
    energy, low = (run.summary.get(name) for name in ("coulomb_error", "low_g_error"))
    if energy is None or low is None or not energy.mean > 0:
        return ""
    share = 100 * low.mean / energy.mean
    return (
        f" The electrostatic energy of the error is {number(energy.mean)} eV per electron, {number(share, 2)} % of it "
        f"in waves of |G| < {LOW_G:g} Å⁻¹, which a self-consistent field is slow to mend."
    )


def _fit(run: RunFiles) -> str:
    """What a model in closed form found, in a sentence; empty for one that was trained."""
    if run.fit is None:
        return ""
    text = f"Fitted in closed form to {run.fit.samples} structures in {duration(run.fit.seconds)}"
    text += "".join(f"; {name} {number(value)}" for name, value in run.fit.found.items()) + "."
    for validation in run.validations[-1:]:
        text += f" The NMAE on the validation structures is {number(validation.nmae)} %."
    return text


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    about = run.provenance
    dataset: Any = about.get("dataset")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    split = [f"{dataset[part]} {word}" for part, word in (
        ("train", "training"), ("validation", "validation"), ("test", "test")) if part in dataset]  # fmt: skip
    rows = [
        ("structures", ", ".join(split)),
        ("steps", str(run.steps[-1].step) if run.steps else ""),
        ("wall time", duration(about["seconds"]) if "seconds" in about else ""),
        ("device", str(about.get("device", ""))),
        ("finished", str(about.get("finished") or "")),
        ("status", str(about.get("status", ""))),
    ]
    return [(key, value) for key, value in rows if value]


def _summary_rows(run: RunFiles) -> list[dict[str, Any]]:
    """Baselines directly below what they are the baseline of."""
    order = sorted(run.summary, key=lambda name: list(run.summary).index(name.removeprefix("baseline_"))
                   if name.removeprefix("baseline_") in run.summary else len(run.summary))  # fmt: skip
    density_unit = run.summary["rmse"].unit if "rmse" in run.summary else "e/Å^d"
    return [
        {
            "name": NAMES.get(name) or (f"{name.removeprefix('baseline_')} of the baseline"
                                        if name.startswith("baseline_") else name),
            "about": DESCRIPTIONS.get(name, "").replace("e/Å^d", density_unit),
            "baseline": name.startswith("baseline_"),
            **asdict(run.summary[name]),
        }
        for name in order
    ]  # fmt: skip


def _worst(run: RunFiles) -> dict[str, Any]:
    ranked = [sample for sample in run.samples if "nmae" in sample.metrics]
    ranked.sort(key=lambda s: -s.metrics["nmae"] if s.metrics["nmae"] == s.metrics["nmae"] else float("-inf"))
    keys = [key for key in run.summary if any(key in sample.metrics for sample in ranked)]
    return {
        "columns": [{"name": NAMES.get(key, key), "unit": run.summary[key].unit} for key in keys],
        "rows": [(sample.id, [sample.metrics.get(key) for key in keys]) for sample in ranked[:WORST]],
    }


def _number_pictures(run: RunFiles) -> dict[str, Picture]:
    """Figures that the template places by name."""
    losses = "loss of each training batch, and its running median"
    if any(event.loss is not None for event in run.validations):
        losses = "loss of each training batch, its running median, and mean loss on the validation structures"
    against = " Right: against that of the baseline."
    against = against if any("baseline_nmae" in sample.metrics for sample in run.samples) else ""
    drawn = {
        "learning": (
            curves.learning(run),
            "Loss and validation NMAE against optimiser steps",
            f"Left: {losses}. Right: NMAE on the validation structures, by which the checkpoint was chosen.",
        ),
        "optimisation": (
            curves.optimisation(run),
            "Quantities recorded during the optimisation, against steps",
            "What else was recorded at each step; faint: every value, strong: running median.",
        ),
        "errors": (
            curves.errors(run),
            "Distribution of the NMAE over the test structures",
            f"NMAE of each test structure.{against}",
        ),
    }
    return {name: Picture(name, image, alt, text) for name, (image, alt, text) in drawn.items() if image is not None}


def _density_pictures(run: RunFiles) -> list[Picture]:
    ranked = sorted(run.predictions, key=lambda p: (ROLES.get(p.role, len(ROLES)), p.id))
    pictures = []
    for index, sample in enumerate(ranked):
        drawn = densities.slices(sample)
        role = sample.role if sample.role in ROLES else "kept"
        # Not the sample's id: it comes from a data set and may be no file name.
        name = f"density-{role}" if sum(p.role == sample.role for p in ranked) == 1 else f"density-{role}-{index + 1}"
        pictures.append(Picture(name, drawn.image, drawn.alt, _caption(sample, drawn.plane)))
    return pictures


def _caption(sample: Prediction, plane: str) -> str:
    which = {"worst": "Worst", "median": "Median", "best": "Best"}.get(sample.role, "A kept")
    text = f"{which} test structure, {sample.id}: NMAE {number(sample.nmae)} %, {sample.electrons:g} electrons."
    if plane:
        text += f" {plane[0].upper()}{plane[1:]}."
    return text


def _replace(file: Path, content: bytes) -> None:
    with whole(file) as stream:
        stream.write(content)

"""Makes a distribution of a trained model: its weights, what a prediction needs beside them, and a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edframe.config.experiment import BLOCKS
from edframe.contract.registry import Registry
from edframe.data.level import Level
from edframe.errors import PluginError
from edframe.files import whole
from edframe.predict.ensemble import FILE as ENSEMBLE
from edframe.predict.ensemble import Ensemble
from edframe.predict.files import saved
from edframe.predict.novelty import FILE as ENVIRONMENTS
from edframe.runs.directory import FORMAT, Run
from edframe.runs.events import Evaluated, Results
from edframe.runs.tensors import numbers
from edframe.scaffold.make import distribution_values, place_whole, require_name, templates
from edframe.train.checkpoint import BEST
from edframe.train.featurizer import FITTED as FEATURIZER

NEEDED = (BEST, FEATURIZER, ENVIRONMENTS, "config.yaml")
"""Files of a run directory that a prediction reads, beside provenance.json."""
KNOWN = ("versions", "distributions", "dataset")
"""What provenance.json keeps: no paths, no machine."""
RECORD, CARD = "record.json", "card.md"
"""Beside the files of a model in a distribution with several: what ``Pretrained`` says of it, and its card."""
WORST = 5


def export(run: Path, name: str, folder: Path, registry: Registry, *, domain: str, licence: str) -> Path:
    """Make the distribution ``edframe-NAME`` in ``folder``, whole or not at all; the folder with its files.

    domain: what the model is for, one sentence. licence: SPDX name. Raises RunError where the run is not finished,
    PluginError for a name that is none or is taken, and a folder that exists or cannot be made.
    """
    for owner in registry.shipped.get(name, []):
        raise PluginError(f"{owner.label} has that name: choose another one")
    require_name(name)
    model = saved(run)
    runs = model.members if isinstance(model, Ensemble) else (model,)
    contents = dict(_files(model))
    values = distribution_values(name, _needs(runs[0], registry)) | _facts(runs, name, domain, licence)
    values["files"] = "".join(
        f'    "{path}": "{hashlib.sha256(data).hexdigest()}",\n' for path, data in contents.items()
    )
    texts = {place: text.encode() for place, text in templates("pretrained", values)}
    inside = {Path("src", values["module"], "model", path): data for path, data in contents.items()}
    return place_whole(folder / values["distribution"], texts | inside)


def export_into(run: Path, name: str, package: Path, *, domain: str, licence: str) -> Path:
    """Put a model into the distribution in ``package``, which has others; the folder with its files and its record.

    Files that the model had are replaced, and its version is raised by one where they differ; its card, and the summary
    and the basis in its record, stay. Raises RunError where the run is not finished, PluginError for a name that is
    none, and for a folder that is no distribution with one package or cannot be written.
    """
    require_name(name)
    modules = sorted(file.parent for file in (package / "src").glob("*/__init__.py"))
    if len(modules) != 1:
        raise PluginError(f"{package} is not the folder of a distribution with one package in src; give that of one")
    model, target = saved(run), modules[0] / name
    facts = _facts(model.members if isinstance(model, Ensemble) else (model,), name, domain, licence)
    contents = dict(_files(model))
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    try:
        former = json.loads((target / RECORD).read_text(encoding="utf-8")) if (target / RECORD).is_file() else {}
        version = int(former.get("version", 0)) + (former.get("files") != hashes)
        record = {
            "name": name, "version": str(version),
            "summary": former.get("summary", json.loads(facts["summary"])),
            "source": f"{modules[0].name}:{name}", "files": hashes, "species": facts["elements"].split(),
            "domain": domain, "licence": licence, "card": f"{modules[0].name}:{name}/{CARD}",
            "functional": json.loads(facts["functional"]), "pseudopotential": json.loads(facts["pseudopotential"]),
            "basis": former.get("basis", ""),
        }  # fmt: skip
        for path in former.get("files", {}).keys() - contents.keys():
            (target / path).unlink(missing_ok=True)
        for path, data in contents.items():
            with whole(target / path) as file:
                file.write(data)
        if not (target / CARD).exists():
            values = distribution_values(name, ()) | facts | {"files": ""}
            card = next(text for place, text in templates("pretrained", values) if place.name == CARD)
            (target / CARD).write_text(card, encoding="utf-8")
        with whole(target / RECORD) as file:
            file.write((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise PluginError(f"{target} cannot be written ({error.strerror or error})") from error
    return target


def _files(model: Run | Ensemble) -> Iterator[tuple[str, bytes]]:
    """Path → content of all that a prediction reads."""
    if isinstance(model, Run):
        yield from _of_run(model, "")
        return
    facts = json.loads((model.path / ENSEMBLE).read_text(encoding="utf-8"))
    names = [f"member-{number}" for number, _ in enumerate(model.members)]
    yield ENSEMBLE, json.dumps({**facts, "members": names}, indent=1).encode()
    for name, run in zip(names, model.members, strict=True):
        yield from _of_run(run, f"{name}/")


def _of_run(run: Run, prefix: str) -> Iterator[tuple[str, bytes]]:
    for name in NEEDED:
        if (run.path / name).is_file():
            yield prefix + name, (run.path / name).read_bytes()
    known = run.provenance()
    slim = {"format": FORMAT, "status": "finished", **{key: known[key] for key in KNOWN if key in known}}
    yield f"{prefix}provenance.json", json.dumps(slim, indent=2, ensure_ascii=False).encode()


def _needs(run: Run, registry: Registry) -> list[str]:
    """The distributions of all components of a run: the configuration names them."""
    config = run.config()
    owners = {
        (owner.distribution, owner.version)
        for block, kind in BLOCKS.items()
        for owner in [registry.find(kind, config[block]["name"])]
    }
    return [f"{distribution}>={version}" for distribution, version in sorted(owners)]


def _facts(runs: Sequence[Run], name: str, domain: str, licence: str) -> dict[str, str]:
    """What the record and the card say."""
    run = runs[0]
    for one in runs:
        one.require_finished()
    events = run.events()
    results = next(event for event in reversed(events) if isinstance(event, Results))
    header, config, provenance = run.header(BEST), run.config(), run.provenance()
    with run.reading(BEST):
        contents = numbers(header["contents"])
        level = Level.of_header(header)
        spacing = float(header["spacing"])
    potentials = level.pseudopotentials
    family = potentials.get("*") or ", ".join(f"{symbol} {text}" for symbol, text in potentials.items())
    elements, data = " ".join(contents["species"]), config["data"]["name"]
    summary = f"densities of {elements}, trained on {data}"
    of = f"an ensemble of {len(runs)}" if len(runs) > 1 else "one run"
    return {
        "licence": licence, "species": repr(tuple(contents["species"])), "elements": elements,
        "summary": json.dumps(summary, ensure_ascii=False), "summary_text": f"{summary[0].upper()}{summary[1:]}.",
        "domain": json.dumps(domain, ensure_ascii=False), "domain_text": domain,
        "functional": json.dumps(level.functional or ""), "pseudopotential": json.dumps(family, ensure_ascii=False),
        "level_text": ", ".join(filter(None, (level.functional, family))) or "not known",
        "max_atoms": str(contents["max_atoms"]), "dimension": str(contents["dimension"]), "spacing": f"{spacing:.3g}",
        "data": data, "training": str(provenance["dataset"]["train"]), "fingerprint": run.fingerprint()[:12],
        "made": f"edframe {provenance.get('versions', {}).get('edframe', '')}, {of}",
        "featurizer": config["featurizer"]["name"], "model": config["model"]["name"], "loss": config["loss"]["name"],
        "tested": str(results.samples), "errors": _errors(results), "worst": _worst(events),
    }  # fmt: skip


def _errors(results: Results) -> str:
    rows = ["| metric | unit | mean | 95% interval | median | largest |", "|---|---|---|---|---|---|"]
    for name, row in results.metrics.items():
        interval = f"{row.low:.3g} – {row.high:.3g}"
        rows.append(f"| {name} | {row.unit} | {row.mean:.3g} | {interval} | {row.median:.3g} | {row.max:.3g} |")
    return "\n".join(rows).replace("nan", "–") + "\n"


def _worst(events: Sequence[Any]) -> str:
    tested = sorted((one for one in events if isinstance(one, Evaluated)), key=lambda one: -one.metrics["nmae"])
    rows = [
        "| sample | NMAE, % |",
        "|---|---|",
        *(f"| {one.id} | {one.metrics['nmae']:.3g} |" for one in tested[:WORST]),
    ]
    return "\n".join(rows) + "\n"

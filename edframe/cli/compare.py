"""``edframe compare``: the same experiment with other components or values, and what difference they make."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edframe.cli import options
from edframe.cli.complete import component_names, setting_keys
from edframe.cli.progress import progress, stopping_keeps_what_is_done
from edframe.cli.signals import raise_interrupts
from edframe.contract.component import Kind
from edframe.errors import ConfigError, RunError

if TYPE_CHECKING:
    from edframe.comparison.outcome import Outcome
    from edframe.comparison.plan import Comparison, Planned
    from edframe.comparison.statistics import Effect
    from edframe.contract.registry import Registry


def _several(kind: Kind, flag: str) -> Any:
    meaning = f"{flag.capitalize()}, by name or as a block {{name: …, option: …}}. May be repeated."
    return typer.Option(f"--{flag}", help=meaning, autocompletion=component_names(kind))


Losses = Annotated[list[str] | None, _several("loss", "loss")]
Models = Annotated[list[str] | None, _several("model", "model")]
Featurizers = Annotated[list[str] | None, _several("featurizer", "featurizer")]
Datasets = Annotated[list[str] | None, _several("dataset", "data")]

DECLARED, BUDGET = "compare.yaml", "steps.json"
SHOWN = ("nmae", "low_density_nmae", "dipole_error", "coulomb_error")
"""Metrics of the table in the terminal; the page has all."""


def compare(
    config: options.Config = None,
    loss: Losses = None,
    model: Models = None,
    featurizer: Featurizers = None,
    data: Datasets = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE[,VALUE…]",
            help="One value, or several to compare: training.size=25,100.",
            autocompletion=setting_keys,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Runs of each with other weights and batches; default: 3.")
    ] = None,
    folds: Annotated[int | None, typer.Option("--folds", min=1, help="Folds of each; default: 1.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.001, help="Equal training time for all, by their steps; default: equal steps."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder to make or continue; default: comparisons/<name>-<hash>."),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of the runs, which other comparisons use again.")] = Path(
        "runs/compared"
    ),
    device: options.Device = None,
    workers: Annotated[int, typer.Option("--workers", help="Runs side by side, in processes; 0: one per core.")] = 1,
    scheduler: options.Scheduler = None,
) -> None:
    """Train and evaluate an experiment with other components or values, and say what difference they make.

    An option given several times, or with several values, is an axis; the first is compared, against its first value,
    under every condition that the others make. A recipe can hold the axes below the key `compare`. Runs of one seed
    and fold share samples, initial weights, batches and augmentation. Each computes with one thread.

    After Ctrl-C or a kill the same command continues, with all finished runs and the checkpoints of unfinished ones.

    Examples:

      edframe compare --loss l2 --loss sinkhorn --workers 2

      edframe compare configs/unet.yaml --loss l1 --loss l2 --set training.size=25,50,100 --seeds 5

      edframe compare --model unet --model resunet --seconds 120 --folds 4
    """
    from edframe.comparison.plan import comparison
    from edframe.config.experiment import SECTION
    from edframe.config.resolve import validate
    from edframe.contract.registry import Registry
    from edframe.errors import imported

    for module in ("pandas", "plotly", "uncertainties"):  # of the report, asked for before hours of training
        imported(module, "compare", "a comparison")
    registry = Registry.discover()
    several = {"loss": loss, "model": model, "featurizer": featurizer, "data": data}
    axes: list[tuple[str, Sequence[Any]]] = [
        (block, [_value(name) for name in names]) for block, names in several.items() if names
    ]
    plain = []
    for setting in settings or []:
        key, values = _values(setting)
        if len(values) > 1:
            axes.append((key, values))
        else:
            plain.append(setting)
    layers = options.merged(config, {}, plain, None, device)
    section = layers.values.pop(SECTION, None) or {}
    if isinstance(section, dict):
        section |= {key: n for key, n in (("seeds", seeds), ("folds", folds), ("seconds", seconds)) if n is not None}
    compared = comparison(validate(layers, registry), section, axes, registry)
    _carry_out(
        compared,
        compared.runs(registry),
        registry,
        out or Path("comparisons") / compared.name(),
        runs,
        workers,
        scheduler,
    )


def _value(text: str) -> Any:
    """A component's name, or its block as YAML, as in ``{name: mix, weights: {l1: 1.0, sinkhorn: 0.1}}``."""
    import yaml

    from edframe.config.sources import TooDeep, from_yaml

    try:
        return from_yaml(text)
    except TooDeep as error:
        raise ConfigError(f"the values of a comparison: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"'{text}' is neither a component's name nor a block such as {{name: l2}}") from error


def _values(setting: str) -> tuple[str, Sequence[Any]]:
    """``key=25,50`` as the key and its values, read as YAML; what cannot be read is left to the usual way of saying."""
    import yaml

    from edframe.config.sources import from_yaml

    key, _, text = setting.partition("=")
    try:
        return key.strip(), from_yaml(f"[{text}]") or [None]
    except yaml.YAMLError:
        return key.strip(), [None]


def _carry_out(
    compared: Comparison,
    plans: list[Planned],
    registry: Registry,
    folder: Path,
    runs: Path,
    workers: int,
    scheduler: str | None,
) -> None:
    from edframe.comparison.carry_out import carried_out, fingerprints, kept, labels, with_steps
    from edframe.comparison.report import write
    from edframe.comparison.statistics import effects

    declared, file = compared.to_yaml(), folder / DECLARED
    if file.exists() and not compared.is_declared_in(file.read_text(encoding="utf-8")):
        raise RunError(f"{folder} is the comparison of something else: its {DECLARED} differs; choose another by --out")
    raise_interrupts()
    with stopping_keeps_what_is_done():
        data = fingerprints(plans, registry, progress)
        _check(plans, registry)
        _write(file, declared)
        if compared.seconds is not None:
            plans = with_steps(plans, compared.seconds, folder / BUDGET, registry, typer.echo)
        typer.echo(f"{folder}: {len(plans)} runs")
        outcomes: list[Outcome] = []
        failed: dict[str, str] = {}
        finished, missing = kept(plans, data, runs)
        workers = workers or os.cpu_count() or 1
        made = carried_out(missing, data, runs, workers=workers, scheduler=scheduler)
        with contextlib.closing(made), progress("runs") as advance:
            advance(len(finished), len(plans))
            for plan, result in itertools.chain(finished, made):
                name = f"{labels(plan)}, fold {plan.fold}, seed {plan.seed}"
                if isinstance(result, Exception):
                    failed[name] = str(result)
                    typer.echo(f"{name}: failed: {result}", err=True)
                else:
                    outcomes.append(result)
                    typer.echo(f"{name}: NMAE {result.mean('nmae'):.3g} %")
                advance(max(len(finished), len(outcomes) + len(failed)), len(plans))
        order = {(plan.variant, *plan.condition.values(), plan.fold, plan.seed): i for i, plan in enumerate(plans)}
        outcomes.sort(key=lambda one: order[one.variant, *one.condition.values(), one.fold, one.seed])
        if any(outcome.variant == compared.reference for outcome in outcomes):
            differences = effects(outcomes, compared.reference)
            page = write(
                folder, compared.name(), outcomes, differences, axis=compared.axes[0].key, reference=compared.reference,
                command=f"edframe compare {shlex.quote(str(file))}", declared=declared, registry=registry,
            )  # fmt: skip
            _summary(outcomes, differences)
            typer.echo(f"report: {page}")
    if failed:
        name, reason = next(iter(failed.items()))
        raise RunError(
            f"{len(failed)} of {len(plans)} runs failed ({name}: {reason}); the others are saved, and the same command "
            "tries these again"
        )


def _check(plans: Sequence[Planned], registry: Registry) -> None:
    """Build what is run once for every combination: what does not fit together shows before anything is trained."""
    from edframe.runs.build import build

    first = (plans[0].fold, plans[0].seed)
    for plan in plans:
        if (plan.fold, plan.seed) == first:
            build(plan.experiment, registry, lambda done, total: None)


def _write(file: Path, text: str) -> None:
    from edframe.files import whole

    try:
        with whole(file) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise RunError(
            f"{file} cannot be written: {error.strerror or error}; choose another folder by --out"
        ) from error


def _summary(outcomes: Sequence[Outcome], effects: Sequence[Effect]) -> None:
    """Means of a few metrics, then what can be claimed of any."""
    from rich.console import Console
    from rich.table import Table

    from edframe.cli.display import or_dash
    from edframe.comparison.outcome import conditions
    from edframe.comparison.plan import in_words

    names = [name for name in SHOWN if name in outcomes[0].units]
    for condition in conditions(outcomes):
        here = [outcome for outcome in outcomes if outcome.condition == condition]
        table = Table(
            title=in_words(condition) or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for heading in ("", "runs", *(f"{name} ({outcomes[0].units[name]})" for name in names)):
            table.add_column(heading, justify="right" if heading else "left")
        for variant in dict.fromkeys(outcome.variant for outcome in here):
            ours = [outcome for outcome in here if outcome.variant == variant]
            means = [sum(one.mean(name) for one in ours) / len(ours) for name in names]
            table.add_row(variant, str(len(ours)), *map(or_dash, means))
        Console(highlight=False).print(table)
    claims = [effect for effect in effects if effect.claimed and effect.metric in names]
    for effect in claims:
        typer.echo(", ".join(filter(None, [in_words(dict(effect.condition)), effect.sentence()])))
    if not claims:
        typer.echo("No difference in these can be claimed from these runs.")

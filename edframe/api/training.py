"""Experiments from Python: the same runs as those of ``edframe run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edframe.errors import DataError, imported

if TYPE_CHECKING:
    import pandas as pd

    from edframe.api.density import Density
    from edframe.api.predicting import Trained


@dataclass(frozen=True)
class Finished:
    """A finished run in its directory ``path``."""

    path: Path

    def load(self) -> Trained:
        """The trained model."""
        from edframe.api.predicting import load

        return load(self.path)

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric (columns) of every test sample (rows, by id)."""
        from edframe.runs.events import Evaluated

        return self._frame({event.id: dict(event.metrics) for event in self._events() if isinstance(event, Evaluated)})

    @property
    def summary(self) -> pd.DataFrame:
        """Unit, mean, median, largest value and 95% interval (columns) of each metric (rows)."""
        from dataclasses import asdict

        from edframe.runs.events import Results

        results = next(event for event in self._events() if isinstance(event, Results))
        return self._frame({name: asdict(metric) for name, metric in results.metrics.items()})

    def _events(self) -> Sequence[Any]:
        from edframe.runs.directory import Run

        return Run.open(self.path).events()

    @staticmethod
    def _frame(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        pd = imported("pandas", "tables", "a table of metrics")
        return pd.DataFrame.from_dict(dict(rows), orient="index")


def run(
    config: str | Path | None = None,
    *,
    data: str | None = None,
    featurizer: str | None = None,
    model: str | None = None,
    loss: str | None = None,
    settings: Mapping[str, Any] | None = None,
    folder: str | Path = "runs",
) -> Finished:
    """Train, evaluate and report one experiment, as ``edframe run`` does.

    config: a YAML file; None: the defaults. data, featurizer, model, loss: other components, by name. settings: values
    by key, ``{"training.steps": 200}``. folder: where run directories are made. Raises ConfigError, DataError or
    RunError.
    """
    from edframe.config.resolve import resolve
    from edframe.contract.registry import Registry

    registry = Registry.discover()
    chosen = {"data": data, "featurizer": featurizer, "model": model, "loss": loss}
    experiment, _ = resolve(
        registry,
        None if config is None else Path(config),
        {block: name for block, name in chosen.items() if name is not None},
        flags=dict(settings or {}),
    )
    return _carried_out(experiment, registry, Path(folder))


def fit(
    densities: Sequence[Density], *, folder: str | Path = "runs", name: str = "densities", **options: Any
) -> Finished:
    """Train on densities that are at hand: they are written to a store in ``folder``, and a run is made of it.

    options: as of ``run``. Raises DataError for fewer densities than the splits need.
    """
    from edframe.data.conversion import as_label
    from edframe.data.store import StoreWriter
    from edframe.sample import Sample

    if not densities:
        raise DataError("there are no densities to train on")
    store = Path(folder) / f"{name}.zarr"
    with StoreWriter(store) as writer:
        for position, density in enumerate(densities):
            sample = Sample(
                f"{name}-{position:05}",
                density.structure,
                density.grid,
                density.values,
                density.electrons,
                density.source,
            )
            if sample.id not in writer:
                writer.add(as_label(sample), position=position)
    settings = {"data.path": str(store), "name": name, **dict(options.pop("settings", None) or {})}
    return run(data="store", settings=settings, folder=folder, **options)


def _carried_out(experiment: Any, registry: Any, folder: Path) -> Finished:
    from edframe.runs.build import build, fabric_for
    from edframe.runs.directory import Run
    from edframe.runs.execute import execute
    from edframe.train.checkpoint import Checkpoint

    experiment.require_one_process("experiment from Python")
    fabric = fabric_for(experiment)
    parts = build(experiment, registry, lambda done, total: None)
    directory = Run.create(folder, experiment.name, experiment.to_yaml())
    with directory.alone():
        execute(experiment, parts, registry, directory, fabric, start=Checkpoint(), show=lambda event: None)
    return Finished(directory.path)

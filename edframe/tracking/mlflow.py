"""MLflow: a run there for each run, in the store that MLFLOW_TRACKING_URI names or in ``mlflow.db`` beside the run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

for _variable, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that went away must not hold up the run: half a minute of trying is enough, not a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}.items():
    os.environ.setdefault(_variable, _value)  # MLflow reads some of them when it is imported

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

from edframe.data.cache import cache_folder  # noqa: E402
from edframe.files import locked  # noqa: E402
from edframe.runs.directory import Run  # noqa: E402

TAG = "edframe.runs.directory"
"""Tag that holds the name of the run directory: a continued run is found by it, also when it was renamed."""
METRICS, PARAMETERS = 1000, 100
"""Most of each that MLflow takes in one request."""
WAIT = 5.0
"""Seconds after which the metrics that have gathered are sent, though fewer."""
EXISTS = "RESOURCE_ALREADY_EXISTS"
STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}
"""Status of a run here, and what MLflow calls it; all others have failed."""


class MLflow:
    """A run in the experiment ``edframe``, or in that of MLFLOW_EXPERIMENT_NAME.

    Metrics cannot be replaced there: of a step that was trained again after a kill, the first value stays.
    """

    def __init__(self, run: Run, parameters: Mapping[str, str | float]) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces each table that it makes
        place = run.path.resolve()
        store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place.parent / 'mlflow.db'}"
        with locked(cache_folder() / "mlflow.lock", wait=True):  # two that make the tables at a time hinder each other
            self._client = MlflowClient(store)
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "edframe")
        earlier = self._client.search_runs([experiment], f"tags.`{TAG}` = '{place.name}'", max_results=1)
        made = earlier or [self._client.create_run(experiment, run_name=place.name, tags={TAG: place.name})]
        self._run: str = made[0].info.run_id
        self._had: dict[str, set[int]] | None = {} if earlier else None
        self._waiting: list[Metric] = []
        self._sent = time.monotonic()
        if earlier:
            self._client.update_run(self._run, status="RUNNING")
        texts = [Param(key, str(value)) for key, value in parameters.items()]
        for first in range(0, len(texts), PARAMETERS):
            self._client.log_batch(self._run, params=texts[first : first + PARAMETERS])

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """A metric for each number that the run has not at ``step``, sent together with later ones."""
        now = round(1e3 * time.time())
        self._waiting += [Metric(key, value, now, step) for key, value in numbers.items() if not self._has(key, step)]
        if len(self._waiting) >= METRICS or time.monotonic() > self._sent + WAIT:
            self._send()

    def close(self, status: str) -> None:
        """Send what has gathered and end the run."""
        self._send()
        self._client.set_terminated(self._run, STATUS.get(status, "FAILED"))

    def _experiment(self, name: str) -> str:
        try:
            return str(self._client.create_experiment(name))
        except MlflowException as error:  # asking first whether it is there would let two first runs both make it
            experiment = self._client.get_experiment_by_name(name) if error.error_code == EXISTS else None
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _has(self, key: str, step: int) -> bool:
        if self._had is None:
            return False
        if key not in self._had:
            self._had[key] = {metric.step for metric in self._client.get_metric_history(self._run, key)}
        return step in self._had[key]

    def _send(self) -> None:
        for first in range(0, len(self._waiting), METRICS):
            self._client.log_batch(self._run, metrics=self._waiting[first : first + METRICS])
        self._waiting.clear()
        self._sent = time.monotonic()

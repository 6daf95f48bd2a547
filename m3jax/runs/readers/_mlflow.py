"""Runs in a local store of MLflow, a database file or a folder `mlruns` (needs mlflow)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._errors import M3Error
from ._histories import prefixed, unfinished
from ._raw import Raw, numbered

if TYPE_CHECKING:
    from mlflow.entities import Run


def read_mlflow(path: Path) -> Raw:
    """A row a run that is not deleted: parameters, and the last value of every metric."""
    import pandas as pd

    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise M3Error(
            f"{path}: MLflow's stores need mlflow: pip install 'm3jax[mlflow]'"
        ) from error
    if not path.is_dir():
        _check_database(path)
    place = path.resolve()
    uri = place.as_uri() if place.is_dir() else f"sqlite:///{place}"
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        names = {each.experiment_id: each.name for each in client.search_experiments()}
        runs: list[Run] = []
        page = None
        while names:
            found = client.search_runs(list(names), page_token=page)
            runs += found
            page = found.token
            if not page:
                break
    except MlflowException as error:
        raise M3Error(f"{path}: MLflow cannot read this store: {error}") from error
    if not runs:
        raise M3Error(f"{path}: no run in this store, expected some")
    records = [_record(run, names[run.info.experiment_id]) for run in runs]
    states = unfinished([run.info.status for run in runs], "FINISHED")
    return Raw(numbered(pd.DataFrame(records, dtype=object)), tuple(states))


def _check_database(path: Path) -> None:
    """Raise unless it is one of MLflow's: the client would write its tables into any other."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT 1 FROM runs, experiments LIMIT 1")
    except sqlite3.Error as error:
        raise M3Error(f"{path}: expected a database of MLflow, found: {error}") from error


def _record(run: Run, experiment: str) -> dict[str, Any]:
    """Columns of a run: a metric that is called like a parameter is `metrics.NAME`."""
    about = {
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "experiment": experiment,
        "status": run.info.status,
    }
    metrics = prefixed(run.data.metrics, about | run.data.params, "metrics")
    # What the user logged about the run under one of these names is not what MLflow knows.
    return about | prefixed(run.data.params, about, "params") | metrics

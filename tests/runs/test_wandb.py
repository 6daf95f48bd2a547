"""Runs of Weights & Biases: exported, kept by its own client, and on a server that is made up."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from m3jax.pipeline import read_config
from m3jax.runs import RunTable

from ..conftest import ok
from .tables import refused

COLUMNS = {"run_id": "run_name", "loss": "eval/loss"}
READ = {"columns": COLUMNS, "where": "eval/loss!="}
RECIPES: dict[str, dict[str, Any]] = {
    "small": {"n_params": 1e6, "target_tokens": 2e6, "target_ratio": 0.5, "language": "id"},
    "large": {"n_params": 4e6, "target_tokens": 2e6, "target_ratio": 1.0, "language": "id"},
}


def history(last: float) -> list[dict[str, Any]]:
    """By step: the training loss, and at some steps an evaluation."""
    return [
        {"_step": 50, "loss": 4.0},
        {"_step": 100, "eval/loss": last + 0.3, "epochs": 1, "more": {"bits": 4.0}},
        {"_step": 150, "loss": 3.5},
        {"_step": 200, "eval/loss": last, "epochs": 2, "more": {"bits": float("nan")}},
    ]


def same_runs(runs: RunTable) -> None:
    """Two runs of two evaluations each."""
    table = runs.to_frame().sort_values(["run_id", "epochs"])
    assert table.run_id.tolist() == ["large", "large", "small", "small"]
    assert table.n_params.tolist() == [4e6, 4e6, 1e6, 1e6]
    assert table.epochs.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert table.loss.tolist() == pytest.approx([2.8, 2.5, 3.3, 3.0])
    assert runs.languages == ("id",)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `wandb`, where its client kept runs; one did not log and one failed."""
    import wandb

    folder = tmp_path_factory.mktemp("offline")
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    common = {"mode": "offline", "dir": folder, "project": "pilot", "settings": settings}
    for name, last in (("small", 3.0), ("large", 2.5)):
        config = RECIPES[name] | {"optimizer": {"lr": 1e-3, "betas": [0.9, 0.95]}, "state": "old"}
        run = wandb.init(name=name, config=config, **common)
        for row in history(last):
            run.log({key: value for key, value in row.items() if key != "_step"}, step=row["_step"])
        run.log({"counts": wandb.Histogram([1, 2, 3])}, step=200)
        run.config.update({"late": {"batch": 32}})
        if name == "small":
            run.log({"runs": wandb.Table(dataframe=pd.DataFrame([RECIPES["small"]]))}, step=201)
        run.finish(exit_code=int(name == "small"))
    wandb.init(name="silent", **common).finish()
    yield folder
    wandb.teardown()


def log_of(written: Path, name: str) -> Path:
    (path,) = (p for p in written.rglob("run-*.wandb") if name.encode() in p.read_bytes())
    return path


def test_runs_that_the_client_kept(written: Path) -> None:
    runs = RunTable.read(written, **READ)
    same_runs(runs)
    assert runs.notes[:2] == (
        "1 run without anything logged left out",
        "of 2 runs 1 failed, and read like the others",
    )
    with refused("no column 'loss'", "'run_id'") as error:
        RunTable.read(written, columns={"loss": "none"})
    for name in ("state", "project", "config.state", "optimizer.lr", "late.batch", "more.bits"):
        assert repr(name) in str(error.value)
    for name in ("_wandb", "counts", "runs", "betas"):
        assert name not in str(error.value)

"""Runs as trackers keep them, written here by their own clients."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from m3jax.runs import RunTable

from .tables import RECIPES, refused, same_runs


def log_history(last: float) -> list[dict[str, Any]]:
    """As the Trainer logs: the loss, and at some steps an evaluation."""
    return [
        {"loss": 4.0, "learning_rate": 1e-3, "epoch": 0.5, "step": 50},
        {"loss": 3.5, "learning_rate": 1e-3, "epoch": 1.0, "step": 100},
        {"eval_loss": last + 0.3, "eval_runtime": 1.0, "epoch": 1.0, "step": 100},
        {"loss": 3.2, "learning_rate": 1e-4, "epoch": 2.0, "step": 200},
        {"eval_loss": last, "eval_runtime": 1.0, "epoch": 2.0, "step": 200},
        {"train_runtime": 9.0, "train_loss": 3.6, "epoch": 2.0, "step": 200},
    ]


def write_state(folder: Path, history: list[dict[str, Any]]) -> Path:
    """By the Trainer's own class where it is there; its form is JSON all the same."""
    folder.mkdir(parents=True, exist_ok=True)
    path, step = folder / "trainer_state.json", history[-1]["step"]
    try:
        from transformers import TrainerState
    except ImportError:
        path.write_text(json.dumps({"global_step": step, "log_history": history}))
    else:
        TrainerState(global_step=step, log_history=history).save_to_json(str(path))
    return path


def test_trainer_states_of_a_folder_of_runs(tmp_path: Path) -> None:
    for name, last in (("small", 3.0), ("large", 2.5)):
        write_state(tmp_path / name / "checkpoint-100", log_history(last)[:3])
        write_state(tmp_path / name / "checkpoint-200", log_history(last))
        (tmp_path / name / "recipe.json").write_text(json.dumps(RECIPES[name]))
    columns = {"loss": "eval_loss", "epochs": "epoch"}
    runs = RunTable.read(tmp_path, columns=columns)
    same_runs(runs)
    assert runs.notes[0] == (
        "large/checkpoint-200/trainer_state.json: 1 logged step without an evaluation left out"
    )
    with refused("no column 'loss'", "'train/loss'", "'eval_loss'"):  # the training loss is another
        RunTable.read(tmp_path, columns={"epochs": "epoch"})
    (tmp_path / "small" / "recipe.json").write_text('{"step": 1}')
    with refused("run 'small': 'step' is both logged and in its recipe"):
        RunTable.read(tmp_path, columns=columns)
    (tmp_path / "small" / "recipe.json").write_text("[1]")
    with refused("recipe.json: expected an object"):
        RunTable.read(tmp_path, columns=columns)


def test_one_trainer_state(tmp_path: Path) -> None:
    path = write_state(tmp_path, log_history(3.0))
    with refused("trainer_state.json: no column 'n_params'", "'epoch'", "'eval_loss'"):
        RunTable.read(path)
    with refused("trainer_state.json: no evaluation in 'log_history'"):
        RunTable.read(write_state(tmp_path, log_history(3.0)[:1]))


def test_folders_of_nothing(tmp_path: Path) -> None:
    with refused("a folder without runs, expected trainer_state.json files"):
        RunTable.read(tmp_path)
    (tmp_path / "trainer_state.json").write_text('{"log_history": 3}')
    with refused("trainer_state.json: expected an object with 'log_history'"):
        RunTable.read(tmp_path)


@pytest.mark.parametrize("as_tensors", [False, True])
def test_tensorboard(tmp_path: Path, as_tensors: bool) -> None:
    reason = "pip install 'm3jax[tensorboard]'"
    pytest.importorskip("tensorboard", reason=reason)
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    for name, last in (("small", 3.0), ("large", 2.5)):
        writer = EventFileWriter(str(tmp_path / name))
        writer.add_event(Event(summary=summary_v2.hparams_pb(RECIPES[name]), step=0))
        for step, epochs, loss in ((100, 1.0, last + 0.3), (200, 2.0, last)):
            for tag, value in (("eval/loss", loss), ("epochs", epochs)):
                held = {"tensor": make_tensor_proto(value)} if as_tensors else {}
                held = held or {"simple_value": value}
                summary = Summary(value=[Summary.Value(tag=tag, **held)])
                writer.add_event(Event(step=step, summary=summary))
        writer.close()
    same_runs(RunTable.read(tmp_path, columns={"loss": "eval/loss"}))
    with refused("large: no column 'loss'"):
        RunTable.read(tmp_path / "large")
    one = RunTable.read(tmp_path / "large", columns={"loss": "eval/loss"})
    assert one.run_id.tolist() == ["large", "large"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's
@pytest.mark.parametrize("store", ["mlflow.db", "mlruns"])
def test_mlflow(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="pip install 'm3jax[mlflow]'")
    pytest.importorskip("sqlalchemy", reason="pip install 'm3jax[mlflow]'")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    path = tmp_path / store
    uri = path.as_uri() if store == "mlruns" else f"sqlite:///{path}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("pilot")
    for name, loss in (("small", 3.0), ("large", 2.5), ("deleted", 9.0)):
        run = client.create_run(experiment, run_name=name).info.run_id
        recipe = RECIPES.get(name, {}) | {"n_params": "4M" if name == "large" else "1e6"}
        for key, value in (recipe | {"epochs": 2}).items():
            client.log_param(run, key, value)
        client.log_metric(run, "eval_loss", loss + 0.3, step=100)
        client.log_metric(run, "eval_loss", loss, step=200)
        client.log_metric(run, "epochs", 2.0)
        client.set_terminated(run, "FAILED" if name == "small" else "FINISHED")
        if name == "deleted":
            client.delete_run(run)
    runs = RunTable.read(path, columns={"run_id": "run_name", "loss": "eval_loss"})
    assert dict(zip(runs.run_id, runs.loss, strict=True)) == {"small": 3.0, "large": 2.5}
    assert dict(zip(runs.run_id, runs.recipe.n_params, strict=True)) == {"small": 1e6, "large": 4e6}
    assert runs.notes == ("of 2 runs 1 FAILED, and read like the others",)
    with refused("no column 'loss'", "'status'", "'metrics.epochs'"):
        RunTable.read(path)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install 'm3jax[mlflow]'")
    (tmp_path / "other.db").write_bytes(b"")
    with refused("other.db: expected a database of MLflow, found: no such table"):
        RunTable.read(tmp_path / "other.db")
    assert os.path.getsize(tmp_path / "other.db") == 0
    with refused("none.db: expected a database of MLflow, found: unable to open"):
        RunTable.read(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("mlflow", "mlflow.db"),
        ("tensorboard", "events"),
        ("wandb", "wandb:team/project"),
        ("wandb", "run-a.wandb"),
    ],
)
def test_the_extra_is_named(
    tmp_path: Path, package: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package] or [package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    Path("events").mkdir()
    Path("events/events.out.tfevents.1.host").write_bytes(b"")
    Path("run-a.wandb").write_bytes(b"")
    with refused(f"m3jax[{package}]"):
        RunTable.read(source)

"""Runs of Weights & Biases: exported, kept by its own client, and on a server that is made up."""

import functools
import struct
import types
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from m3jax import M3Error
from m3jax.pipeline import read_config
from m3jax.runs import RunTable

from ..conftest import ok
from .tables import RECIPES, refused, same_runs

READ: dict[str, Any] = {
    "columns": {"run_id": "run_name", "loss": "eval/loss"},
    "where": "eval/loss!=",
}


def history(last: float) -> list[dict[str, Any]]:
    """By step: the training loss, and at some steps an evaluation."""
    return [
        {"_step": 50, "loss": 4.0},
        {"_step": 100, "eval/loss": last + 0.3, "epochs": 1, "more": {"bits": 4.0}},
        {"_step": 150, "loss": 3.5},
        {"_step": 200, "eval/loss": last, "epochs": 2, "more": {"bits": float("nan")}},
    ]


def write(
    folder: Path, name: str, last: float, recipe: dict[str, Any], *, code: int = 0, **more: Any
) -> None:
    """A run of the client's own, which ends with this code."""
    import wandb

    config = recipe | {"optimizer": {"lr": 1e-3, "betas": [0.9, 0.95]}, "state": "old"}
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    place = {"mode": "offline", "dir": folder, "project": "pilot", "settings": settings}
    run = wandb.init(id=name, name=name, config=config, **place)
    for row in history(last):
        run.log({key: value for key, value in row.items() if key != "_step"}, step=row["_step"])
    run.log({"counts": wandb.Histogram([1, 2, 3]), **more}, step=201)
    run.config.update({"late": {"batch": 32}})
    run.finish(exit_code=code)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the client."""
    wandb = pytest.importorskip("wandb", reason="pip install 'm3jax[wandb]'")
    folder = tmp_path_factory.mktemp("offline")
    rows = [recipe | {"epochs": 2, "loss": 3.0} for recipe in RECIPES.values()]
    table = wandb.Table(dataframe=pd.DataFrame(rows))
    # A text that goes over several blocks of the log.
    write(folder, "small", 3.0, RECIPES["small"], runs=table, text="long" * 20_000)
    write(folder, "large", 2.5, RECIPES["large"])
    wandb.teardown()  # writes what is not on the disk when a run has finished
    return folder / "wandb"


def log_of(written: Path, name: str) -> Path:
    (path,) = written.glob(f"offline-run-*/run-{name}.wandb")
    return path


@pytest.mark.slow
def test_runs_that_the_client_kept(written: Path) -> None:
    runs = RunTable.read(written, **READ)
    same_runs(runs)
    assert not [note for note in runs.notes if "run-" in note or "unfinished" in note]
    with refused("no column 'loss'") as error:
        RunTable.read(written, columns={"weight": "loss"})
    for name in ("state", "project", "config.state", "optimizer.lr", "late.batch", "more.bits"):
        assert repr(name) in str(error.value)
    for name in ("_wandb", "counts", "runs", "betas"):
        assert name not in str(error.value)


@pytest.mark.slow
def test_one_run_and_the_link_to_the_latest(written: Path) -> None:
    log = log_of(written, "large")
    for path in (log, log.parent):
        runs = RunTable.read(path, **READ)
        assert runs.run_id.tolist() == ["large", "large"]
        assert runs.loss.tolist() == [2.8, 2.5]
    (written.parent / "latest").symlink_to(log.parent)
    same_runs(RunTable.read(written.parent, **READ))


@pytest.mark.slow
def test_a_fit_of_runs_that_failed_or_logged_nothing(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb", reason="pip install 'm3jax[wandb]'")
    for name, size, last in (("a", 1e6, 3.0), ("b", 2e6, 2.7)):
        write(tmp_path, name, last, RECIPES["small"] | {"n_params": size})
    write(tmp_path, "c", 2.5, RECIPES["large"], code=1)
    wandb.init(id="d", mode="offline", dir=tmp_path, settings={"silent": True}).finish()
    wandb.teardown()
    quick = ("--law", "chinchilla", "--engine", "host", "--starts", 1, "--draws", 0)
    columns = ("--map", "run_id=run_name,loss=eval/loss", "--where", "eval/loss!=")
    said = " ".join(ok("fit", tmp_path / "wandb", *columns, *quick).out.split())
    assert "1 run without anything logged left out" in said
    assert "of 3 runs 1 failed, and read like the others" in said


def read_or_refused(path: Path) -> RunTable | str:
    try:
        return RunTable.read(path, **READ)
    except M3Error as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cuts", "rows"), [("large", 40, {0, 1, 2}), ("small", 6, {0, 2})])
def test_a_log_that_was_cut_or_damaged_is_read_up_to_there(
    written: Path, tmp_path: Path, name: str, cuts: int, rows: set[int]
) -> None:
    content = log_of(written, name).read_bytes()
    path = tmp_path / f"run-{name}.wandb"
    found = set()
    last = len(content) - 64  # beyond is the run's end, with zeros of its own
    for end in range(0, last, last // cuts):
        flipped = bytes([content[end] ^ 1])
        for rest in (b"", bytes(len(content) - end), flipped + content[end + 1 :]):
            path.write_bytes(content[:end] + rest)
            runs = read_or_refused(path)
            if isinstance(runs, str):
                assert "\n" not in runs
                found.add(0)
                continue
            found.add(len(runs))
            # A file that ends with a record lacks nothing but the run's end.
            assert not rest or "cut short or damaged after byte" in runs.notes[0]
            assert "of 1 run 1 unfinished, and read like the others" in runs.notes
    assert found == rows


@pytest.mark.slow
def test_the_table_that_the_client_kept(written: Path) -> None:
    (path,) = written.rglob("*.table.json")
    assert RunTable.read(path).recipe.n_params.tolist() == [1e6, 4e6]


@pytest.mark.slow
def test_files_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'm3jax[wandb]'")
    path = tmp_path / "run-a.wandb"
    path.write_bytes(b"n_params,loss\n")
    with refused("run-a.wandb: expected a log of Weights & Biases, which begins with b':W&B"):
        RunTable.read(path)
    unknown = b"\xff"
    head = struct.pack("<IHB", zlib.crc32(unknown, zlib.crc32(b"\x01")), len(unknown), 1)
    path.write_bytes(b":W&B\xe1\xbe\x00" + head + unknown)
    with refused("run-a.wandb: holds a record that the client does not know"):
        RunTable.read(path)
    path.write_bytes(b"")
    with refused("run-a.wandb: nothing logged in 1 run, expected losses"):
        RunTable.read(path)
    with refused("run-b.wandb: cannot be read: No such file"):
        RunTable.read(tmp_path / "run-b.wandb")


class Server:
    """What `wandb.Api` is used for; `runs` has one page, and histories are as the server's."""

    def runs(self, path: str) -> list[Any]:
        if path != "team/pilot":
            raise ValueError(f"Could not find project\n{path}")
        return [
            types.SimpleNamespace(
                id=f"id-{name}",
                name=name,
                state="finished" if name == "large" else "crashed",
                config=RECIPES[name] | {"optimizer": {"lr": 1e-3}, "epochs": 9},
                scan_history=lambda last=last: iter(
                    [row | {"_timestamp": 1.0, "counts": {"_type": "histogram", "bins": [1]}}
                     for row in history(last)]
                ),
            )
            for name, last in (("small", 3.0), ("large", 2.5))
        ]  # fmt: skip


@pytest.mark.slow
def test_a_project_on_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb", reason="pip install 'm3jax[wandb]'")
    monkeypatch.setattr(wandb, "Api", Server)
    # What was logged under the name of a column of the configuration is another.
    columns = READ["columns"] | {"epochs": "history.epochs"}
    runs = RunTable.read("wandb:team/pilot", columns=columns, where="eval/loss!=")
    same_runs(runs)
    assert runs.source == "wandb:team/pilot"
    assert runs.notes[0] == "of 2 runs 1 crashed, and read like the others"
    with refused("wandb:team/pilot: no column 'loss'", "'state'", "'optimizer.lr'"):
        RunTable.read("wandb:team/pilot", columns={"weight": "loss"})
    with refused("wandb:other: Weights & Biases' client cannot", "not find project other"):
        RunTable.read("wandb:other")
    with refused("wandb:: expected wandb:entity/project"):
        RunTable.read("wandb:")
    (tmp_path / "study.toml").write_text('[runs]\npath = "wandb:team/pilot"\n')
    assert read_config(tmp_path / "study.toml").runs_path == Path("wandb:team/pilot")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "reason"), [("", "No API key configured"), ("a" * 40, "Failed to verify credentials")]
)
def test_no_login_and_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, reason: str
) -> None:
    wandb = pytest.importorskip("wandb", reason="pip install 'm3jax[wandb]'")
    monkeypatch.setattr(wandb, "Api", functools.partial(wandb.Api, timeout=1))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", key)
    with refused("wandb:team/pilot: Weights & Biases' client cannot read this: ", reason) as error:
        RunTable.read("wandb:team/pilot")
    assert "\n" not in str(error.value)


def test_tables_and_histories_of_weights_and_biases(tmp_path: Path) -> None:
    """As its page exports them: every column quoted, the configuration among them."""
    columns = {"run_id": "Name", "loss": "eval/loss"}
    table = pd.DataFrame(
        [{"Name": name, "State": "finished", "Runtime": 12, "epochs": 2, "eval/loss": loss} | recipe
         for (name, recipe), loss in zip(RECIPES.items(), (3.0, 2.5), strict=True)]
    )  # fmt: skip
    table.to_csv(tmp_path / "runs.csv", index=False, quoting=1)
    runs = RunTable.read(tmp_path / "runs.csv", columns=columns)
    assert (runs.run_id.tolist(), runs.loss.tolist(), runs.notes) == (
        ["small", "large"], [3.0, 2.5], (),
    )  # fmt: skip
    history = table.loc[[0, 0, 1, 1]].assign(_step=[1, 2, 1, 2], epochs=[1, 2, 1, 2])
    history["eval/loss"] = [3.3, 3.0, 2.8, 2.5]
    pytest.importorskip("pyarrow")
    history.to_parquet(tmp_path / "history.parquet")
    runs = RunTable.read(tmp_path / "history.parquet", columns=columns)
    assert runs.run_id.tolist() == ["small", "small", "large", "large"]

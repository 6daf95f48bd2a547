"""Runs of Weights & Biases, from the files of its client or from a server (needs wandb)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..._errors import M3Error
from ...files import parse_json
from ...formatting import quantity
from ._histories import History, prefixed, raw_of, unfinished
from ._raw import Raw
from ._wandb_log import read_log

LOGS = "run-*.wandb"
ON_SERVER = "wandb:"

_ABOUT = ("run_id", "run_name", "project", "state")
_INTERNAL = "_wandb."


@dataclasses.dataclass(frozen=True)
class _Run:
    about: dict[str, Any]
    config: dict[str, Any]
    rows: Sequence[dict[str, Any]]


def read_wandb(path: Path) -> Raw:
    """A row a step that was logged, of the log `run-ID.wandb` or of all logs below a folder."""
    logs = sorted({log.resolve() for log in path.rglob(LOGS)}) if path.is_dir() else [path]
    runs, notes = [], []
    for log in logs:
        content = log.read_bytes()
        records, end = read_log(content, log.name)
        runs.append(_run_of(records, log))
        if end < len(content):
            notes.append(
                f"{log.name}: cut short or damaged after byte {end} of {len(content)}, read up to"
                " there"
            )
    return _raw(runs, path.name, notes)


def read_wandb_project(source: str) -> Raw:
    """The same of all runs of a project on the server that the client is logged in to.

    Raises `M3Error` where the client cannot get them, for whatever reason.
    """
    project = source.removeprefix(ON_SERVER)
    if not project.strip("/"):
        raise M3Error(f"{source}: expected wandb:entity/project")
    try:
        from wandb import Api
    except ImportError as error:
        raise _needs_client(source) from error
    try:
        runs = [
            _Run(
                {"run_id": run.id, "run_name": run.name, "project": project, "state": run.state},
                _cells(run.config.items()),
                [_cells(row.items()) for row in run.scan_history()],
            )
            for run in Api().runs(project)
        ]
    except Exception as error:  # the client's errors, those of its transport too, share no class
        reason = " ".join(str(error).split()) or type(error).__name__
        raise M3Error(f"{source}: Weights & Biases' client cannot read this: {reason}") from error
    return _raw(runs, source, [])


def _needs_client(source: object) -> M3Error:
    return M3Error(f"{source}: Weights & Biases' runs need wandb: pip install 'm3jax[wandb]'")


def _run_of(records: Iterable[bytes], log: Path) -> _Run:
    """What a log's records say; a run whose end they do not have is unfinished."""
    about: dict[str, Any] = dict.fromkeys(_ABOUT)
    about |= {"run_id": log.stem.removeprefix("run-"), "state": "unfinished"}
    config: dict[str, Any] = {}
    rows = []
    for record in _parsed(records, log):
        if record.HasField("run"):
            about |= {"run_name": record.run.display_name, "project": record.run.project}
            config |= _values(record.run.config.update, log)
        elif record.HasField("config"):
            config |= _values(record.config.update, log)
        elif record.HasField("history"):
            step = {"_step": record.history.step.num}
            rows.append(_cells((step | _values(record.history.item, log)).items()))
        elif record.HasField("exit"):
            about["state"] = "failed" if record.exit.exit_code else "finished"
    return _Run(about, _cells(config.items()), rows)


def _parsed(records: Iterable[bytes], log: Path) -> Iterator[Any]:
    """The records as messages of the client's own."""
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise _needs_client(log) from error
    messages: Any = wandb_internal_pb2  # whose classes are made while it is imported
    for record in records:
        try:
            yield messages.Record.FromString(record)
        except DecodeError as error:
            raise M3Error(
                f"{log.name}: holds a record that the client does not know, expected a file of"
                " this client or an older one: pip install --upgrade wandb"
            ) from error


def _values(items: Iterable[Any], log: Path) -> dict[str, Any]:
    return {
        ".".join(item.nested_key) or item.key: parse_json(item.value_json, log.name, strict=False)
        for item in items
    }


def _cells(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Numbers, texts and truth values by dotted name; not lists, media and the client's own."""
    flat = dict(pair for name, value in values for pair in _flat(name, value))
    others = (
        _INTERNAL,
        *(name.removesuffix("_type") for name in flat if name.endswith("._type")),
    )
    return {
        name: value
        for name, value in flat.items()
        if not name.startswith(others) and not isinstance(value, list)
    }


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(f"{name}.{key}", inner)


def _raw(runs: Sequence[_Run], name: str, notes: Iterable[str]) -> Raw:
    """A name of the configuration, in any run, that was logged too is `history.NAME` there."""
    logged = [run for run in runs if run.rows]
    if not logged:
        raise M3Error(f"{name}: nothing logged in {quantity(len(runs), 'run')}, expected losses")
    silent = len(runs) - len(logged)
    configured = [prefixed(run.config, _ABOUT, "config") for run in logged]
    taken = {*_ABOUT, *(name for config in configured for name in config)}
    histories = [
        History(
            run.about["run_id"],
            run.about | config,
            [prefixed(row, taken, "history") for row in run.rows],
        )
        for run, config in zip(logged, configured, strict=True)
    ]
    left_out = [f"{quantity(silent, 'run')} without anything logged left out"] if silent else []
    states = unfinished([run.about["state"] for run in logged], "finished")
    return raw_of(histories, name, [*notes, *left_out, *states])

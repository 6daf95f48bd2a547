"""Runs of the Hugging Face Trainer: its `trainer_state.json`, or a folder of runs that have one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..._errors import M3Error
from ...files import parse_json
from ...formatting import quantity
from ._histories import History, by_step, raw_of, recipe_beside
from ._raw import Raw

FILE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-\d+")


def is_trainer_state(document: Any) -> bool:
    """Whether a JSON document is one."""
    return isinstance(document, dict) and isinstance(document.get("log_history"), list)


def read_trainer_state(document: dict[str, Any], name: str) -> Raw:
    """A row an evaluation: what was logged at its step, the training loss as `train/loss`."""
    return raw_of([_history("", document, name, {})], name, _note(document))


def read_trainer_folder(folder: Path) -> Raw:
    """The same of all runs below a folder, `run_id` being where they are.

    Of the states that a run kept with its checkpoints the last one counts: it has the history.
    """
    latest: dict[Path, tuple[int, Path, dict[str, Any]]] = {}
    for path in sorted(folder.rglob(FILE)):
        document = parse_json(path.read_text(encoding="utf-8"), str(path), strict=False)
        if not is_trainer_state(document):
            raise M3Error(f"{path}: expected an object with 'log_history'")
        run = path.parent.parent if _CHECKPOINT.fullmatch(path.parent.name) else path.parent
        step = int(document.get("global_step") or 0)
        if run not in latest or step >= latest[run][0]:
            latest[run] = (step, path, document)
    histories, notes = [], []
    for run, (_, path, document) in latest.items():
        name = run.relative_to(folder).as_posix()
        histories.append(_history(name, document, str(path), recipe_beside(run)))
        notes += [f"{path.relative_to(folder).as_posix()}: {note}" for note in _note(document)]
    return raw_of(histories, folder.name, notes)


def _history(run_id: str, document: dict[str, Any], name: str, recipe: dict[str, Any]) -> History:
    logged = [
        (record.get("step"), {_plain(key): value for key, value in record.items()})
        for record in document["log_history"]
    ]
    rows = [row for row in by_step(logged) if any(key.startswith("eval_") for key in row)]
    if not rows:
        raise M3Error(
            f"{name}: no evaluation in 'log_history', expected some (eval_strategy='steps')"
        )
    return History(run_id, recipe, rows)


def _plain(key: str) -> str:
    # The loss of a run table is one on held-out text.
    return "train/loss" if key == "loss" else key


def _note(document: dict[str, Any]) -> list[str]:
    steps = {record.get("step") for record in document["log_history"]}
    evaluated = {
        record.get("step")
        for record in document["log_history"]
        if any(key.startswith("eval_") for key in record)
    }
    left = len(steps - evaluated)
    return [f"{quantity(left, 'logged step')} without an evaluation left out"] if left else []

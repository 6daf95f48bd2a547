"""Runs in a folder of TensorBoard's event files (needs tensorboard)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._errors import M3Error
from ._histories import History, by_step, raw_of, recipe_beside
from ._raw import Raw

EVENTS = "events.out.tfevents.*"


def read_tensorboard(folder: Path) -> Raw:
    """A row a step of every folder with event files, `run_id` being its path.

    Scalars and hyperparameters that were written to the same folder are columns.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise M3Error(
            f"{folder}: event files need tensorboard: pip install 'm3jax[tensorboard]'"
        ) from error
    histories = []
    for run in sorted({path.parent for path in folder.rglob(EVENTS)}):
        # Zero keeps all of them; TensorBoard would show a sample.
        events = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        logged = by_step(_scalars(events))
        if logged:
            name = run.relative_to(folder).as_posix()
            # A folder read by itself still is a run, whose checkpoints belong together.
            name = folder.resolve().name if name == "." else name
            histories.append(History(name, _hyperparameters(events) | recipe_beside(run), logged))
    if not histories:
        raise M3Error(f"{folder}: no scalars in the event files below it, expected some")
    return raw_of(histories, folder.name)


def _scalars(events: Any) -> list[tuple[int, dict[str, Any]]]:
    from tensorboard.util.tensor_util import make_ndarray

    found = [
        (event.step, {tag: event.value})
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    ]
    # Newer writers keep scalars as tensors without dimensions.
    for tag in events.Tags()["tensors"]:
        for event in events.Tensors(tag):
            value = make_ndarray(event.tensor_proto)
            if value.ndim == 0 and value.dtype.kind in "iuf":
                found.append((event.step, {tag: float(value)}))
    return found


def _hyperparameters(events: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        contents = events.PluginTagToContent("hparams").values()
    except KeyError:
        return {}
    return {
        name: getattr(value, value.WhichOneof("kind") or "string_value")
        for content in contents
        for name, value in HParamsPluginData.FromString(content).session_start_info.hparams.items()
    }

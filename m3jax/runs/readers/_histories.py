"""Histories of runs, as trainers log them, to one frame: a row a step of a run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._errors import M3Error
from ...files import read_json
from ...formatting import enumeration, quantity
from ._raw import Raw, numbered

RECIPE = "recipe.json"


@dataclasses.dataclass(frozen=True)
class History:
    """One run.

    Attributes:
        run_id: where it is below the folder that is read; "" for a run read by itself.
        recipe: columns that are the same in all its rows.
        rows: what was logged, one dict a step.
    """

    run_id: str
    recipe: dict[str, Any]
    rows: Sequence[dict[str, Any]]


def by_step(logged: Iterable[tuple[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What was logged at each step together, by step."""
    steps: dict[Any, dict[str, Any]] = {}
    for step, values in logged:
        steps.setdefault(step, {"step": step}).update(values)
    return [steps[step] for step in sorted(steps, key=lambda step: (step is None, step or 0))]


def recipe_beside(folder: Path) -> dict[str, Any]:
    """What the file `recipe.json` in a run's folder says of it; nothing without one."""
    path = folder / RECIPE
    if not path.exists():
        return {}
    recipe = read_json(path)
    if not isinstance(recipe, dict):
        raise M3Error(f'{path}: expected an object such as {{"n_params": 124e6, …}}')
    return recipe


def prefixed(values: Mapping[str, Any], taken: Container[str], prefix: str) -> dict[str, Any]:
    """The same, what is called like something else as `PREFIX.NAME`."""
    return {f"{prefix}.{name}" if name in taken else name: value for name, value in values.items()}


def unfinished(states: Sequence[str], finished: str) -> list[str]:
    """A note of the runs whose state is another than `finished`, if there are some."""
    others = Counter(state for state in states if state != finished)
    if not others:
        return []
    parts = [f"{count} {state}" for state, count in others.items()]
    return [f"of {quantity(len(states), 'run')} {enumeration(parts)}, and read like the others"]


def raw_of(histories: Sequence[History], name: str, notes: Iterable[str] = ()) -> Raw:
    """The frame of histories: their recipes, `run_id` where they have one, and what was logged.

    Raises `M3Error` where a run logged under a name that its recipe has.
    """
    import pandas as pd

    records = []
    for history in histories:
        constant = {"run_id": history.run_id} if history.run_id else {}
        constant |= history.recipe
        for row in history.rows:
            twice = sorted(constant.keys() & row.keys())
            if twice:
                raise M3Error(
                    f"{name}: run {history.run_id!r}: {twice[0]!r} is both logged and in its "
                    f"recipe, expected it once"
                )
            records.append(constant | row)
    return Raw(numbered(pd.DataFrame(records, dtype=object)), tuple(notes))

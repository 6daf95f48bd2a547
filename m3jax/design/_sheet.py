"""The run sheet: what `next_runs` proposes, as rows that can be trained and filled in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import M3Error
from .._version import __version__
from ..files import check_place, write_csv, write_json
from ..recipe import REGIMES, Recipe

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class NextRuns:
    """Further runs of one language, and what they are expected to be worth.

    Attributes:
        language: name.
        criterion: what they were chosen for, "regret" or "coefficients".
        recipe: of the n runs, NumPy leaves (n,).
        predicted_loss: nats per token, (n,).
        predicted_spread: standard deviation of its logarithm, noise included, (n,).
        worth: share of the expected gain that is lost without this run, (n,).
        budget: FLOP, for all of them.
        noise: standard deviation of a run's log loss that was reckoned with.
        regret_now: expected regret of what would be recommended now, nats per token.
        regret_after: the same once these runs have been trained.
        regret_random: the same after random runs of the same budget, median of several designs.
        information: log det of the coefficients' precision, gained by these runs.
        information_random: the same of random runs, median.
        compute: of the recipes to be decided on, FLOP, (C,).
        target_tokens: unique target tokens of theirs, (T,).
        notes: what the user should know.
    """

    language: str
    criterion: str
    recipe: Recipe
    predicted_loss: np.ndarray
    predicted_spread: np.ndarray
    worth: np.ndarray
    budget: float
    noise: float
    regret_now: float
    regret_after: float
    regret_random: float
    information: float
    information_random: float
    compute: np.ndarray
    target_tokens: np.ndarray
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.worth)

    def records(self) -> list[dict[str, Any]]:
        """One row a run: the columns of a run table, `loss` to be filled in, then what is known."""
        recipe = self.recipe
        regime, fraction = np.asarray(recipe.regime), np.asarray(recipe.stage_fraction)
        total, cost = np.asarray(recipe.total_tokens), np.asarray(recipe.compute)
        counts = ("n_params", "target_tokens")
        return [
            {
                "language": self.language,
                "run_id": f"next-{i + 1}",
                **{
                    name: int(leaf[i]) if name in counts else float(leaf[i])
                    for name, leaf in vars(recipe).items()
                },
                "loss": None,
                "total_tokens": round(float(total[i])),
                "compute": float(f"{cost[i]:.9g}"),
                "regime": REGIMES[int(regime[i])],
                "stage_fraction": float(fraction[i]),
                "predicted_loss": float(self.predicted_loss[i]),
                "predicted_spread": float(self.predicted_spread[i]),
                "worth": float(self.worth[i]),
            }
            for i in range(len(self))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        numbers = (
            "budget",
            "noise",
            "regret_now",
            "regret_after",
            "regret_random",
            "information",
            "information_random",
        )
        return {
            "language": self.language,
            "criterion": self.criterion,
            **{name: float(getattr(self, name)) for name in numbers},
            "compute": self.compute.tolist(),
            "target_tokens": self.target_tokens.tolist(),
            "notes": list(self.notes),
            "runs": self.records(),
        }


def write_sheet(path: str | os.PathLike[str], sheets: Sequence[NextRuns]) -> Path:
    """Write the runs of some languages to one .csv or .json file.

    The CSV is a run table whose `loss` is blank: fill it in and add the rows to your table. The
    JSON has the expected gain and the notes, too. Raises `M3Error` on another ending, on no runs,
    or if the file cannot be written.
    """
    check_sheet(path)
    path = Path(path)
    rows = [row for sheet in sheets for row in sheet.records()]
    if not rows:
        raise M3Error(f"{path}: no runs to write")
    if path.suffix == ".json":
        content = {
            "schema_version": SCHEMA_VERSION,
            "m3jax_version": __version__,
            "languages": [sheet.to_dict() for sheet in sheets],
        }
        return write_json(path, content)
    return write_csv(path, rows)


def check_sheet(path: str | os.PathLike[str]) -> None:
    """Raise `M3Error` unless a run sheet can be written at `path`, as far as can be told."""
    if Path(path).suffix not in (".csv", ".json"):
        raise M3Error(f"{path}: expected a file name ending in .csv or .json")
    check_place(path)

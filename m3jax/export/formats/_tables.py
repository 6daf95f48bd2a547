"""Plans as one JSON or CSV file, for people and programs of one's own."""

from __future__ import annotations

from typing import Any

from ...files import csv_text
from ...optimization import NO_STANDING


def plan_csv(content: dict[str, Any]) -> str:
    """A plan as CSV, one row a stage; `corpus_tokens` are the unique target tokens there are."""
    return csv_text(
        [
            {
                "language": entry["language"],
                "compute": entry["compute"],
                "corpus_tokens": entry["target_tokens"],
                "regime": entry["regime"],
                "n_params": entry["recipe"]["n_params"],
                **stage,
                **{key: entry[key] for key in NO_STANDING},
            }
            for entry in content["plans"]
            for stage in entry["stages"]
        ]
    )

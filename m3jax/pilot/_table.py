"""The table a pilot writes, a row for each finished run, and the card of where it is from."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error
from ..files import cell_text, csv_text, encoded, parse_json, write_bytes

Row = dict[str, str]

COLUMNS = (
    "run_id", "language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio",
    "first_ratio", "total_tokens", "loss", "seed", "source_loss", "learning_rate", "steps", "batch",
    "length", "layers", "width", "precision", "setup", "m3jax_version", "device",
)  # fmt: skip


def read_rows(path: Path) -> list[Row]:
    """The rows of a table, none if there is no file. Raises `M3Error` on any other table."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise M3Error(f"{path}: cannot be read: {reason}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise M3Error(f"{path}: is there, and is not a table of `m3jax pilot`; name another output")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(COLUMNS):
            raise M3Error(
                f"{path}, row {number}: found {len(row)} cells, expected {len(COLUMNS)}; remove"
                " the row to do its run again"
            )
    return [dict(zip(COLUMNS, map(cell_text, row), strict=True)) for row in rows[1:]]


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]], order: Mapping[str, int]) -> None:
    """Write the table with these rows in it too, whole or not at all.

    Rows of runs in `order` (run_id to place) stand in that order, after all others: a table does
    not depend on when which run was finished. Raises `M3Error` if it cannot be written; what stood
    there before stands there still.
    """
    new = {str(row["run_id"]): {k: str(row[k]) for k in COLUMNS} for row in rows}

    def with_new() -> bytes:
        # Read anew: another process may have added to it.
        known = {row["run_id"]: row for row in read_rows(path)} | new
        ordered = sorted(known.values(), key=lambda row: order.get(row["run_id"], -1))
        return encoded(csv_text(ordered, COLUMNS))

    write_bytes(path, with_new)


def card_path(table: Path) -> Path:
    """Where a table's card is: `runs.csv` has `runs.pilot.json`."""
    return table.with_suffix(".pilot.json")


def read_card(table: Path) -> dict[str, Any]:
    """What is known of a table's runs, by language; nothing if there is no card."""
    path = card_path(table)
    try:
        content = parse_json(path.read_text(encoding="utf-8"), str(path))
        return {str(name): dict(entry) for name, entry in content.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise M3Error(f"{path}: not what m3jax wrote there: {error}") from error


def add_to_card(table: Path, card: Mapping[str, Any]) -> None:
    """Write a table's card with these languages in it too. Raises `M3Error` if it cannot be."""

    def with_new() -> bytes:
        whole = {**read_card(table), **card}
        return encoded(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")

    write_bytes(card_path(table), with_new)

"""Run tables with one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._errors import M3Error
from ...formatting import quoted

if TYPE_CHECKING:
    import pandas as pd


def read_json_lines(path: Path) -> pd.DataFrame:
    """Cells as JSON has them; blank lines count as rows, then go."""
    import pandas as pd

    records, lines = [], []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, object_pairs_hook=_object)
            except ValueError as error:
                raise M3Error(f"{path.name}, line {number}: broken JSON: {error}") from error
            if not isinstance(record, dict):
                text = line.strip()[:60]
                raise M3Error(f"{path.name}, line {number}: found {text}, expected an object")
            records.append(record)
            lines.append(number)
    if not records:
        raise M3Error(f"{path}: the file is empty, expected one JSON object per line")
    return pd.DataFrame(records, index=lines, dtype=object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"the same key twice, among {quoted(key for key, _ in pairs)}")
    return record

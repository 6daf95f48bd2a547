"""Run tables with one JSON object a line."""

from __future__ import annotations

from ..._errors import M3Error
from ...files import parse_json
from ._raw import Raw
from ._records import frame_of


def read_json_lines(content: bytes, name: str) -> Raw:
    """Cells as JSON has them; blank lines count as rows, then go."""
    records, lines = [], []
    # Not splitlines(): JSON may hold other ends of lines than these within a text.
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        record = parse_json(line, f"{name}, line {number}", strict=False)
        if not isinstance(record, dict):
            raise M3Error(f"{name}, line {number}: found {line.strip()[:60]}, expected an object")
        records.append(record)
        lines.append(number)
    if not records:
        raise M3Error(f"{name}: the file is empty, expected one JSON object per line")
    return Raw(frame_of(records, lines, name, "line"))

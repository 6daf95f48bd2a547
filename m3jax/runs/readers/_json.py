"""Run tables in one JSON document: objects in a list, columns by name, or columns and data."""

from __future__ import annotations

from typing import Any

from ..._errors import M3Error
from ...files import parse_json
from ._raw import Raw, numbered
from ._records import frame_of
from ._trainer_state import is_trainer_state, read_trainer_state

_EXPECTED = (
    'expected a list of objects, an object of lists {"loss": [2.1, …], …}, or'
    ' {"columns": [names], "data": [rows]}'
)


def read_document(content: bytes, name: str) -> Raw:
    """Cells as JSON has them."""
    document = parse_json(content.decode("utf-8-sig"), name, strict=False)
    if is_trainer_state(document):
        return read_trainer_state(document, name)
    if isinstance(document, list) and all(isinstance(each, dict) for each in document):
        return Raw(frame_of(document, range(1, len(document) + 1), name, "row"))
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        return Raw(_by_rows(document.get("columns"), document["data"], name))
    if isinstance(document, dict) and all(isinstance(each, dict) for each in document.values()):
        document = _without_index(document, name)
    if isinstance(document, dict) and all(isinstance(each, list) for each in document.values()):
        return Raw(_by_columns(document, name))
    raise M3Error(f"{name}: {_EXPECTED}")


def _by_rows(columns: Any, data: list[Any], name: str) -> Any:
    """The form of pandas' "split", and of the tables that Weights & Biases keeps."""
    import pandas as pd

    if not isinstance(columns, list) or not all(isinstance(row, list) for row in data):
        raise M3Error(f"{name}: {_EXPECTED}")
    for number, row in enumerate(data, start=1):
        if len(row) != len(columns):
            raise M3Error(
                f"{name}, row {number}: found {len(row)} cells, expected {len(columns)},"
                " as many as columns"
            )
    return numbered(pd.DataFrame(data, columns=columns, dtype=object))


def _without_index(document: dict[str, dict[str, Any]], name: str) -> dict[str, list[Any]]:
    """Columns as lists, of the form that pandas writes by default: of each, cells by row."""
    first = next(iter(document), "")
    for column, cells in document.items():
        if list(cells) != list(document[first]):
            raise M3Error(
                f"{name}: expected the same rows in every column, found others in {column!r} than"
                f" in {first!r}"
            )
    return {column: list(cells.values()) for column, cells in document.items()}


def _by_columns(document: dict[str, list[Any]], name: str) -> Any:
    import pandas as pd

    lengths = {column: len(cells) for column, cells in document.items()}
    if len(set(lengths.values())) > 1:
        raise M3Error(f"{name}: expected columns of one length, found {lengths}")
    return numbered(pd.DataFrame(document, dtype=object))

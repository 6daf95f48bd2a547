"""Run tables in Excel workbooks (needs openpyxl)."""

from __future__ import annotations

import io
import zipfile

from ..._errors import M3Error
from ._raw import Raw


def read_excel(content: bytes, name: str) -> Raw:
    """Cells of the first sheet as Excel has them; blank rows count, then go."""
    import pandas as pd

    try:
        import openpyxl
    except ImportError as error:
        raise M3Error(
            f"{name}: Excel files need openpyxl: pip install 'm3jax[excel]', or save the table as"
            " .csv"
        ) from error
    try:
        # The cells as they are: pandas would take the language code "NA" for a missing value.
        # Not read_only, which believes the size that a sheet says it has; some are wrong.
        book = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        sheets = book.worksheets
        rows = [list(row) for row in sheets[0].iter_rows(values_only=True)] if sheets else []
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise M3Error(f"{name}: broken or truncated Excel file: {error}") from error
    while rows and not _filled(rows[0]):
        del rows[0]
    if not rows:
        raise M3Error(f"{name}: the first sheet is empty, expected a header and rows")
    header = ["" if cell is None else str(cell) for cell in rows[0]]
    frame = pd.DataFrame(rows[1:], columns=header, index=range(1, len(rows)), dtype=object)
    # Columns that have neither a name nor a cell are those that Excel once had something in.
    frame = frame.loc[:, [bool(column) for column in header] | frame.notna().any().to_numpy()]
    others = [sheet.title for sheet in sheets[1:]]
    notes = (f"sheet {sheets[0].title!r} is read, not {', '.join(others)}",) if others else ()
    return Raw(frame[frame.map(lambda cell: _filled([cell])).any(axis=1)], notes)


def _filled(row: list[object]) -> bool:
    return any(cell is not None and str(cell).strip() for cell in row)

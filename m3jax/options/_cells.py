"""Options of the cells of a run table: how its numbers are written."""

from __future__ import annotations

import dataclasses

from ..numerals import DECIMAL_MARKS, THOUSANDS_MARKS
from ._core import POSITIVE, Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellOptions(Options):
    """How to read the numbers of a run table."""

    decimal: str | None = option(
        None,
        kind="text",
        choices=DECIMAL_MARKS,
        help="Mark before the fraction of a number. Found in the cells if it is not given: a comma"
        " where one of them can be nothing else.",
    )
    thousands: str | None = option(
        None,
        kind="text",
        choices=THOUSANDS_MARKS,
        help="Mark between the thousands of a number, as in 1,234,567. None if it is not given.",
    )
    bytes_per_token: float | dict[str, float] | None = option(
        None,
        kind="number or by language",
        allowed=POSITIVE,
        help="Of the text the loss was measured on, for losses in bpb. One number, or one a"
        " language.",
        unit="bytes",
    )

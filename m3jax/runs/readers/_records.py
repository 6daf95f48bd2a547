"""Records, as JSON has them, to a frame: every key in every record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import M3Error
from ...formatting import quoted

if TYPE_CHECKING:
    import pandas as pd


def frame_of(
    records: Sequence[dict[str, Any]], rows: Sequence[int], name: str, row: str
) -> pd.DataFrame:
    """The frame of records with these row numbers; `row` is what errors call one.

    Raises `M3Error` for a record without a key that others have: it would be read as a blank cell,
    and be given what stands for one.
    """
    import pandas as pd

    keys = {key: number for number, record in zip(rows, records, strict=True) for key in record}
    for number, record in zip(rows, records, strict=True):
        lacking = [key for key in keys if key not in record]
        if lacking:
            raise M3Error(
                f"{name}, {row} {number}: no key {quoted(lacking)}, which others have "
                f"({row} {keys[lacking[0]]}), expected the same keys in each: "
                "null where there is no value"
            )
    return pd.DataFrame(list(records), index=list(rows), dtype=object)

"""The options of reading a run table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ._cells import CellOptions
from ._core import at_least, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(CellOptions):
    """How a run table is read; every field is a keyword of `RunTable.read` and `from_frame`.

    Rows are left out in the order of the fields, and the table's notes say how many and which.
    """

    columns: Mapping[str, str] = option(
        {},
        kind="columns by name",
        flags=("--map",),
        help="Your column names: n_params=params,loss=val_loss; run_id=model+seed joins columns."
        " The run table's name stands first, the file's own second; a column whose name has a"
        " comma is taken whole. Columns are joined for `run_id` and `language` only.",
    )
    units: Mapping[str, str | float] = option(
        {},
        kind="units by name",
        flags=("--units",),
        help="Units of columns: n_params=M,loss=bits (or perplexity, bpb), or a factor."
        ' "K", "M", "B" or "T" for counts; "nats", "bits", "perplexity" or "bpb" (bits a byte, with'
        ' `bytes_per_token`) for loss; "measured" for compute that need not be near 6·N·D; or a'
        " positive number to multiply any numeric column by.",
    )
    where: Sequence[str] = option(
        (),
        kind="conditions",
        help='Only rows of which this holds, as "State=finished"; may be given again. Any column'
        " of the file may be compared, by =, !=, <, <=, > or >=, with a number or a text; with"
        " nothing behind the sign, with a blank cell. All of several must hold.",
    )
    skip_incomplete: bool = option(
        False,
        kind="true or false",
        help="Leave out rows without a finite loss, with other needed cells blank, or without"
        " target text. No target text is a ratio, tokens, epochs or compute of 0.",
    )
    last_checkpoint: bool = option(
        False,
        kind="true or false",
        help="Of rows with one run_id, keep the one with the most total tokens.",
    )
    keep_best: bool = option(
        False,
        kind="true or false",
        help="Of rows with the same recipe and language, keep the lowest loss. For sweeps over"
        " learning rate or batch size; it would also choose among seeds.",
    )
    drop_highest: int = option(
        0,
        kind="whole number",
        allowed=at_least(0, "a whole number"),
        help="Leave out so many runs with the highest losses. A loss that is blank, NaN or infinite"
        " is the highest.",
    )

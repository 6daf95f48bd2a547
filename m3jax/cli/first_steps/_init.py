"""The command `m3jax init`: a configuration made for a run table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..._errors import M3Error
from ...options import TableOptions
from .._common import Table, read_table
from .._derived import with_options
from .._streams import remark


@with_options(TableOptions, parameter="reading")
def init_command(
    table: Table,
    *,
    reading: dict[str, Any],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .toml file; by default named like the table."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file of that name.")
    ] = False,
) -> None:
    """Read a run table and write a commented configuration for it.

    Example: m3jax init runs.csv && m3jax run runs.toml
    """
    from ...files import write_bytes
    from ...pipeline import config_for

    if str(table) == "-":
        raise M3Error("-: expected a file, for the configuration names it")
    place = Path(f"{table.name.split('.')[0]}.toml") if output is None else output
    if place.suffix != ".toml":
        raise M3Error(f"{place}: expected a file name ending in .toml")
    if place.exists() and not overwrite:
        raise M3Error(f"{place}: is there already; name another with -o or pass --overwrite")
    runs = read_table(table, reading)
    write_bytes(place, config_for(runs, table, place).encode())
    remark(f"read: {runs.summary()}")
    for note in runs.notes:
        remark(f"  note: {note}")
    remark(f"written: {place}\nnext: look it through, then m3jax run {place}")

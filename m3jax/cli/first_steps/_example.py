"""The command `m3jax example`: the quickstart's table and configuration, to try things on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ..._errors import M3Error
from .._streams import remark

FILES = ("quickstart.toml", "pilot_debian.csv")


def example_command(
    folder: Annotated[Path, typer.Argument(help="Where to; by default here.")] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of these names.")
    ] = False,
) -> None:
    """Write a run table of 320 real runs and a configuration for it.

    Example: m3jax example && m3jax run quickstart.toml
    """
    from ...files import write_folder

    places = [folder / name for name in FILES]
    there = [str(place) for place in places if place.exists()]
    if there and not overwrite:
        raise M3Error(f"{there[0]}: is there already; name another folder or pass --overwrite")
    shipped = resources.files("m3jax.data")
    write_folder({place: shipped.joinpath(place.name).read_bytes() for place in places})
    written = " and ".join(map(str, places))
    remark(f"written: {written}\nnext: m3jax run {places[0]}")

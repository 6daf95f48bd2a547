"""The reading options of `m3jax fit` as flags of a script."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from m3jax.options import TableOptions, default_of, option_of


def add_reading(parser: argparse.ArgumentParser) -> None:
    """A flag for every option of reading a run table, called as in `m3jax fit`."""
    for field in dataclasses.fields(TableOptions):
        flags = option_of(field).flags or (f"--{field.name.replace('_', '-')}",)
        kind = option_of(field).kind
        how: dict[str, Any] = {"type": int if kind == "whole number" else str}
        if kind.endswith("by name"):
            how = {"type": _by_name}
        elif kind == "true or false":
            how = {"action": "store_true"}
        elif kind == "conditions":
            how = {"action": "append"}
        parser.add_argument(*flags, dest=field.name, default=default_of(field), **how)


def taken_reading(options: dict[str, Any]) -> dict[str, Any]:
    """Take the reading options out of a script's options."""
    return {field.name: options.pop(field.name) for field in dataclasses.fields(TableOptions)}


def _by_name(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))  # type: ignore[misc]

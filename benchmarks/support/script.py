"""What every script does: options, messages on the way, and its result as JSON or for people."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.support.data import data_folder

Say = Callable[[str], None]


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser described by the first line of a script's docstring."""
    return argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])


def parse(parser: argparse.ArgumentParser, *, seed: bool = True) -> tuple[dict[str, Any], bool]:
    """The options by name, `seed` among them if asked for, and whether JSON alone is wanted."""
    if seed:
        parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = vars(parser.parse_args())
    return options, options.pop("json")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr)


def print_result(result: Any, as_json: bool, show: Callable[[Any], None]) -> int:
    """The result as JSON, or by `show` for people; returns the exit status 0."""
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0


def public_tables() -> Path | None:
    """The folder of the public run tables; where it is absent, None and a message."""
    folder = data_folder()
    if folder is None:
        say("public run tables not found; set M3JAX_DATA to their folder")
    return folder


def whole_numbers(text: str) -> list[int]:
    """`10,100` as numbers."""
    return [int(part) for part in text.split(",") if part]


def pairs(text: str) -> list[tuple[int, int]]:
    """`1x1,4x2` as pairs of numbers."""
    rows = [tuple(int(number) for number in part.split("x")) for part in text.split(",") if part]
    if any(len(row) != 2 for row in rows):
        raise argparse.ArgumentTypeError(f"expected pairs such as 1x1,4x1, found {text!r}")
    return [(first, second) for first, second in rows]

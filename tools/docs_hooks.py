"""What mkdocs adds to the pages: the table of a command's flags, from the command itself."""

from __future__ import annotations

import re
from typing import Any

import typer.main

from m3jax.cli import app

_PLACE = re.compile(r"<!-- options of (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page: fill in the tables."""
    return _PLACE.sub(lambda place: flags_table(place.group(1)), markdown)


def flags_table(command: str) -> str:
    """The arguments and flags of a command as a Markdown table.

    Raises `KeyError` for a command that there is not.
    """
    known: Any = typer.main.get_command(app)
    rows = ["| flag | what |", "|---|---|"]
    for parameter in known.commands[command].params:
        if parameter.param_type_name == "argument":
            names = f"`{parameter.make_metavar(_context(known, command))}`"
        else:
            value = "" if parameter.is_flag else f" {_value(parameter)}"
            names = ", ".join(f"`{name}`" for name in parameter.opts) + value
        text = (getattr(parameter, "help", None) or "").replace("\\[", "[").replace("|", "\\|")
        if parameter.required and parameter.param_type_name != "argument":
            text += " Required."
        rows.append(f"| {names} | {text} |")
    return "\n".join(rows)


def _context(known: Any, command: str) -> Any:
    return typer.Context(known.commands[command])


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.type.name.upper()).replace("|", "\\|")

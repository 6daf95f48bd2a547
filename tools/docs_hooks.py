"""What mkdocs adds to the pages: tables of flags, from the commands, and notebooks as pages."""

from __future__ import annotations

import json
import re
from typing import Any

import typer.main

from m3jax.cli import app

_PLACE = re.compile(r"<!-- options of (\w+) -->")


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs once: a page beside every notebook, which stays to be downloaded."""
    from mkdocs.structure.files import File

    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            name = file.src_uri.removesuffix(".ipynb") + ".md"
            text = notebook_page(file.content_string, file.name + ".ipynb")
            files.append(File.generated(config, name, content=text))
    return files


def notebook_page(notebook: str, name: str) -> str:
    """A notebook as Markdown, its code as blocks, its results left out."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    parts.append(f"[This page as a notebook]({name})")
    return "\n\n".join(parts) + "\n"


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
            name = parameter.metavar or parameter.name.upper()
            names = f"`{name}`" if parameter.required else f"`[{name}]`"
        else:
            value = "" if parameter.is_flag else f" {_value(parameter)}"
            names = ", ".join(f"`{name}`" for name in parameter.opts) + value
        text = (getattr(parameter, "help", None) or "").replace("\\[", "[").replace("|", "\\|")
        if parameter.required and parameter.param_type_name != "argument":
            text += " Required."
        rows.append(f"| {names} | {text} |")
    return "\n".join(rows)


def _value(parameter: Any) -> str:
    """What a flag takes, in capitals."""
    kind = getattr(parameter, "type", None)  # newer typer describes types without click
    name = parameter.metavar or (kind.name.upper() if kind is not None else "VALUE")
    return str(name).replace("|", "\\|")

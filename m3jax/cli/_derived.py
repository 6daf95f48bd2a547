"""Flags of a command, derived from the option class of the function it calls."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .._errors import named_by_flags
from ..options import Option, Options, default_of, option_of
from . import _arguments as arguments

_HINTS = {
    "pair": "LOW,HIGH",
    "numbers": "A,B,…",
    "texts": "NAME,…",
    "numbers by name": "NAME=V,…",
    "columns by name": "NAME=COLUMN,…",
    "units by name": "NAME=UNIT,…",
    "conditions": "COLUMN=VALUE",
    "file": "FILE",
    "fit file": "FITS",
    "recipes": "FILE",
    "prior": "NAME|FILE",
    "number": "NUMBER",
    "whole number": "NUMBER",
    "number or by language": "NUMBER",
}


def with_options(
    options: type[Options],
    *,
    but: Sequence[str] = (),
    parameter: str = "options",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every option but those named, in place of one of its parameters.

    The command gets a dict of what was typed under the name of the `parameter`: what is not typed
    keeps the default of the option class.
    """
    fields = [
        field
        for field in dataclasses.fields(options)
        if field.name not in but and option_of(field).flags != ()
    ]

    flags = {field.name: _flags(field)[0] for field in fields}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        hints = get_type_hints(command, include_extras=True)

        @functools.wraps(command)
        def call(**typed: Any) -> None:
            values: dict[str, Any] = {}
            for field in fields:
                text = typed.pop(field.name)
                if text is not None and text is not False and text != []:
                    flag = _flags(field)[0]
                    values[field.name] = _parsed(option_of(field), flag, text)
            with named_by_flags(flags):
                command(**typed, **{parameter: values})

        parameters = []
        for name, known in own.items():
            if name == parameter:
                parameters += [_parameter(field) for field in fields]
            else:
                parameters.append(known.replace(kind=known.KEYWORD_ONLY, annotation=hints[name]))
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def _flags(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    plain = (f"--{field.name.replace('_', '-')}",)
    return option_of(field).flags or plain


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    known, default = option_of(field), default_of(field)
    kind = _TYPES.get(known.kind, str)
    required = default is dataclasses.MISSING
    hidden = required or default is None or default is False or default in ((), {})
    shown = "" if hidden else _shown(default)
    # The flag's own default is None, "not typed": what the option class then takes is told here.
    text = known.summary + (rf" \[default: {shown}]" if shown else "")
    annotation = Annotated[  # type: ignore[valid-type]
        kind if required or kind is bool else kind | None,
        typer.Option(
            *_flags(field),
            help=text if not known.unit else f"{text} ({known.unit})",
            metavar=_HINTS.get(known.kind),
            show_default=False,
        ),
    ]
    missing = inspect.Parameter.empty if required else (False if kind is bool else None)
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=missing, annotation=annotation
    )


_TYPES: dict[str, Any] = {
    "true or false": bool,
    "file": Path,
    "fit file": Path,
    "recipes": Path,
    # May be given again.
    "columns by name": list[str],
    "units by name": list[str],
    "conditions": list[str],
}


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _parsed(known: Option, flag: str, text: Any) -> Any:
    """What was typed, as a value of the option's kind."""
    parse = _PARSERS.get(known.kind)
    return text if parse is None else parse(flag, text)


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "number": arguments.number,
    "whole number": arguments.whole,
    "number or by language": arguments.one_or_by_language,
    "numbers": arguments.amounts,
    "numbers by language": arguments.by_language,
    "pair": arguments.bounds,
    "texts": arguments.names,
    "numbers by name": arguments.numbers,
    "columns by name": arguments.columns,
    "units by name": arguments.units,
}

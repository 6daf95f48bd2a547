"""Options, each declared once.

The keyword options of a public function are the fields of one frozen dataclass, made with `option`.
Everything else derives from it: the function's signature and docstring (`takes`), the checks
(`Options`), the flags of the command line (`cli._derived`), the keys of a TOML file (`_toml`) and
the tables of the documentation.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

from .._errors import M3Error, nearest, option_name, shown, suggestion
from ._kinds import KINDS, converted_to

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The values of an option.

    Attributes:
        words: as they end "expected …".
        test: of a value.
        most: a value that nobody means to exceed: no machine could do the work.
    """

    words: str
    test: Callable[[Any], bool]
    most: float = math.inf


POSITIVE = Allowed("a positive finite number", lambda x: 0 < x < math.inf)
PROPER_SHARE = Allowed("a number between 0 and 1", lambda x: 0 < x < 1)


def at_least(least: float, noun: str = "a finite number") -> Allowed:
    """Finite values from `least` on."""
    return Allowed(f"{noun} >= {least:g}", lambda x: least <= x < math.inf)


MOST_COUNTED = 1e6


def counted(least: int) -> Allowed:
    """Whole numbers of things to be done, from `least` to as many as anyone may mean."""
    return dataclasses.replace(at_least(least, "a whole number"), most=MOST_COUNTED)


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of one option beside its default.

    Attributes:
        kind: what a value is, a key of `KINDS`.
        help: what it is for. The first sentence is what `--help` shows.
        unit: of its values; "" for pure numbers and words.
        choices: the only values, of words.
        allowed: which values are, of numbers.
        flags: on the command line, if not `--` and the name with hyphens; none to leave it out.
        toml: whether a TOML file may set it.
    """

    kind: str
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    allowed: Allowed | None = None
    flags: tuple[str, ...] | None = None
    toml: bool = True

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        return self.help.split(". ")[0].rstrip(".") + "."


def option(default: Any = dataclasses.MISSING, **known: Any) -> Any:
    """A dataclass field with the attributes of `Option`; required without a default."""
    metadata = {"option": Option(**known)}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def same_as(options: type[Options], name: str, **changed: Any) -> Any:
    """The option of that name of another class, but for what is `changed` (`default` too)."""
    field = next(field for field in dataclasses.fields(options) if field.name == name)
    known = dataclasses.replace(
        option_of(field), **{k: v for k, v in changed.items() if k != "default"}
    )
    if "default" in changed:
        return dataclasses.field(default=changed["default"], metadata={"option": known})
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory, metadata={"option": known})
    return dataclasses.field(default=field.default, metadata={"option": known})


def option_of(field: dataclasses.Field[Any]) -> Option:
    """What a field made with `option` says of itself."""
    known: Option = field.metadata["option"]
    return known


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field, `dataclasses.MISSING` where it is required."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Base of the option classes: checks every field against its `Option` when made.

    Raises `M3Error` that names the option, what was expected and what was found.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                checked = _checked(field.name, option_of(field), value)
                object.__setattr__(self, field.name, checked)
            elif default_of(field) is not None:
                name = option_name(field.name)
                raise M3Error(f"{name}: expected {expected(option_of(field))}, got None")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of the options, in order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def of(cls, **values: Any) -> Self:
        """From values by name. Raises `M3Error` on an unknown or missing name."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise M3Error(f"unknown option {name!r}; {suggestion(name, fields)}")
        for name, field in fields.items():
            if name not in values and default_of(field) is dataclasses.MISSING:
                what = f"expected {expected(option_of(field))}, got nothing"
                raise M3Error(f"{option_name(name)}: {what}")
        return cls(**values)

    def chosen(self) -> dict[str, Any]:
        """Those that differ from their defaults, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        defaults = {field.name: default_of(field) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value != defaults[name]}


def takes(options: type[Options]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a function with a parameter `options` the fields of a class as keywords instead.

    A caller may pass a ready-made `options=` as well. The signature has the fields in place of
    `options`, and the docstring lists them after its line `options: …`. Raises `M3Error` on
    unknown keywords and on values outside their range.
    """
    fields = {field.name: field for field in dataclasses.fields(options)}

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        signature = inspect.signature(function)
        own = [name for name in signature.parameters if name != "options"]

        @functools.wraps(function)
        def call(*positional: Any, **keywords: Any) -> T:
            values = {name: keywords.pop(name) for name in list(keywords) if name in fields}
            ready = keywords.pop("options", None)
            if ready is not None and values:
                raise M3Error(f"options: expected either options= or {', '.join(values)}")
            for name in keywords:
                if name not in own:
                    hint = suggestion(name, [*fields, *own])
                    raise M3Error(f"{function.__name__}: unknown option {name!r}; {hint}")
            chosen = options.of(**values) if ready is None else ready
            return function(*positional, options=chosen, **keywords)

        parameters = []
        for parameter in signature.parameters.values():
            if parameter.name == "options":
                parameters += [_parameter(field) for field in fields.values()]
            else:
                parameters.append(parameter)
        # Those without a default may stand anywhere among keyword-only parameters.
        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__doc__ = _with_fields(function.__doc__, fields.values())
        return call

    return decorate


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    default = default_of(field)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is dataclasses.MISSING else default,
        annotation=field.type,
    )


def _with_fields(docstring: str | None, fields: Iterable[dataclasses.Field[Any]]) -> str | None:
    """The docstring, with every option after the line that begins with "options:"."""
    if docstring is None:
        return None
    lines = []
    for line in docstring.split("\n"):
        if line.lstrip().startswith("options:"):
            margin = line[: len(line) - len(line.lstrip())]
            lines += [f"{margin}{field.name}: {option_of(field).help}" for field in fields]
        else:
            lines.append(line)
    return "\n".join(lines)


# What an option may hold: kind -> in words. One kind a row of `_CONVERTERS`.
def expected(known: Option) -> str:
    """What an option may hold, in words."""
    if known.choices:
        return " or ".join(map(repr, known.choices))
    return known.allowed.words if known.allowed else KINDS[known.kind]


def _checked(name: str, known: Option, value: Any) -> Any:
    """A value of the option's kind and range, in its canonical type."""
    name = option_name(name)
    try:
        converted = converted_to(known.kind, value)
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected {expected(known)}, got {shown(value)}") from error
    if known.choices:
        for part in converted if isinstance(converted, tuple) else (converted,):
            if part not in known.choices:
                near = nearest(str(part), known.choices)
                hint = f" (did you mean {near!r}?)" if near else ""
                raise M3Error(f"{name}: expected {expected(known)}, got {shown(part)}{hint}")
    if known.allowed:
        parts = converted if isinstance(converted, tuple) else (converted,)
        if isinstance(converted, Mapping):
            parts = tuple(converted.values())
        if not all(map(known.allowed.test, parts)):
            raise M3Error(f"{name}: expected {known.allowed.words}, got {shown(value)}")
        if any(part > known.allowed.most for part in parts):
            raise M3Error(f"{name}: expected at most {known.allowed.most:g}, got {shown(value)}")
    return converted


def toml_kinds(options: type[Options], names: Sequence[str] | None = None) -> dict[str, str]:
    """Key -> kind, for `_toml.read_toml`: the options that a TOML file may set."""
    return {
        field.name: option_of(field).kind
        for field in dataclasses.fields(options)
        if option_of(field).toml and (names is None or field.name in names)
    }

"""Flags derived from the option classes: all are there, and what is typed arrives."""

import dataclasses

import pytest
import typer
import typer.main

from m3jax.cli import app, with_options
from m3jax.options import (
    CellOptions,
    CompareOptions,
    FitOptions,
    MapOptions,
    NextOptions,
    OptimizeOptions,
    Options,
    PilotOptions,
    SplitOptions,
    option,
    option_of,
)

from ..conftest import call

COMMANDS = {
    "fit": FitOptions,
    "compare": CompareOptions,
    "optimize": OptimizeOptions,
    "map": MapOptions,
    "split": SplitOptions,
    "pilot": PilotOptions,
}


def flags_of(command):
    known = typer.main.get_command(app).commands[command]
    return {parameter.name: parameter for parameter in known.params}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_flag(command):
    flags = flags_of(command)
    for field in dataclasses.fields(COMMANDS[command]):
        known = option_of(field)
        if known.flags == ():
            assert field.name not in flags
            continue
        assert known.summary.rstrip(".") in flags[field.name].help
        expected = known.flags or (f"--{field.name.replace('_', '-')}",)
        assert tuple(flags[field.name].opts) == expected


@pytest.mark.parametrize("command", ["fit", "compare", "diagnose"])
def test_what_reads_a_table_says_how_its_numbers_are_written(command):
    assert set(CellOptions.names()) <= set(flags_of(command))


def test_defaults_and_units_are_shown():
    assert r"\[default: 8]" in flags_of("fit")["starts"].help
    assert "(log loss)" in flags_of("fit")["huber_delta"].help
    assert "(FLOP)" in flags_of("optimize")["compute"].help
    assert flags_of("optimize")["compute"].required
    assert "gap" in flags_of("optimize")
    assert "regret" in flags_of("next")["criterion"].help
    assert "coefficients" in flags_of("next")["criterion"].help


def test_the_limits_of_a_recipe_are_no_flags_of_next():
    flags = set(flags_of("next"))
    assert {"ladder", "reach", "n_params", "unique_tokens"} <= flags
    assert "max_source_tokens" not in flags
    assert "max_source_tokens" in NextOptions.names()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example(Options):
    """One of each kind."""

    size: float = option(kind="number", help="Size.")
    sizes: tuple[float, ...] | None = option(None, kind="numbers", help="Sizes.")
    span: tuple[float, float] | None = option(None, kind="pair", help="Span.")
    names: tuple[str, ...] | None = option(None, kind="texts", help="Names.")
    held: dict[str, float] = option({}, kind="numbers by name", help="Held.")
    tokens: object = option(None, kind="numbers by language", help="Tokens.")
    count: int = option(3, kind="whole number", help="Count.")
    sure: bool = option(False, kind="true or false", help="Sure.")


@pytest.fixture
def typed():
    """What a command with these options gets for a line that was typed."""

    def run(line):
        got = {}

        @with_options(Example)
        def command(place: str = "here", *, options: dict) -> None:
            got.update(options, place=place)

        example = typer.Typer()
        example.command()(command)
        example(line.split(), standalone_mode=False)
        return got

    return run


def test_what_is_typed_arrives_in_its_kind(typed):
    line = "--size 2.5M --sizes 1K,2 --span 1,1e3 --names a,b --held E=1.5 --count 4 --sure"
    assert typed(line) == {
        "place": "here",
        "size": 2.5e6,
        "sizes": [1000.0, 2.0],
        "span": (1.0, 1000.0),
        "names": ["a", "b"],
        "held": {"E": 1.5},
        "count": 4,
        "sure": True,
    }
    assert typed("--size 1 --tokens id=1M,ja=2M")["tokens"] == {"id": 1e6, "ja": 2e6}
    assert typed("--size 1 --tokens 5,6")["tokens"] == [5.0, 6.0]


def test_what_is_not_typed_is_left_to_the_options(typed):
    assert typed("--size 1") == {"place": "here", "size": 1.0}


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("fit", "x.csv", "--huber-delta", "small"), "--huber-delta"),
        (("optimize", "f.json", "-c", "1e20", "-t", "1e8", "--epochs", "4"), "--epochs"),
        (("map", "f.json", "-c", "1,2,3", "-t", "1,2", "-o", "out"), "--compute"),
        (("next", "f.json", "--budget", "much"), "--budget"),
    ],
)
def test_an_ill_typed_value_names_its_flag(arguments, flag):
    result = call(*arguments)
    assert result.code == 2
    assert flag in result.err
    assert result.err.count("\n") == 1

"""Options declared once: checks, signatures, docstrings and TOML kinds that derive from them."""

import dataclasses
import inspect

import numpy as np
import pytest

from m3jax import M3Error, fit
from m3jax.options import (
    KINDS,
    POSITIVE,
    CellOptions,
    CompareOptions,
    FitOptions,
    MapOptions,
    NextOptions,
    OptimizeOptions,
    Options,
    PilotOptions,
    SplitOptions,
    at_least,
    converted_to,
    default_of,
    option,
    option_of,
    same_as,
    takes,
    toml_kinds,
)

CLASSES = (
    CellOptions,
    FitOptions,
    CompareOptions,
    OptimizeOptions,
    MapOptions,
    SplitOptions,
    NextOptions,
    PilotOptions,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baking(Options):
    """An example."""

    grams: float = option(kind="number", unit="g", allowed=POSITIVE, help="Flour. More of it.")
    loaves: int = option(2, kind="whole number", allowed=at_least(1), help="How many.")
    shape: str = option("round", kind="text", choices=("round", "long"), help="Of each.")
    heat: tuple[float, float] | None = option(None, kind="pair", allowed=POSITIVE, help="Range.")
    extras: dict[str, float] = option({}, kind="numbers by name", help="Grams by name.")


@takes(Baking)
def bake(oven, steam=False, *, options, progress=None):
    """Bake.

    Args:
        oven: where.
        options: the fields of `Baking`, each a keyword.
        progress: told of it.
    """
    return oven, steam, options, progress


def test_values_come_in_their_canonical_type():
    options = Baking.of(grams=np.float32(500), loaves=np.int64(3), heat=[200, 230])
    assert options == Baking(grams=500.0, loaves=3, heat=(200.0, 230.0), extras={})
    assert [type(v) for v in (options.grams, options.loaves, options.heat[0])] == [
        float,
        int,
        float,
    ]


def test_numbers_may_be_written_as_in_a_table():
    options = Baking.of(grams="1.5K", loaves="2", heat=["200", "0.23K"], extras={"salt": "50%"})
    assert options == Baking(grams=1500.0, loaves=2, heat=(200.0, 230.0), extras={"salt": 0.5})
    tokens = converted_to("numbers by language", {"ja": ["16K", 5], "id": "2 million"})
    assert tokens == {"ja": [16e3, 5], "id": 2e6}
    assert converted_to("number or by language", "4.1") == 4.1
    assert converted_to("number or by language", {"ja": 2}) == {"ja": 2.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "grams: expected a positive finite number, got nothing"),
        ({"grams": -1}, "grams: expected a positive finite number, got -1"),
        ({"grams": float("inf")}, "grams: expected a positive finite number, got inf"),
        ({"grams": "500 g"}, "grams: expected a positive finite number, got '500 g'"),
        ({"grams": None}, "grams: expected a positive finite number, got None"),
        ({"grams": 1, "loaves": 2.0}, "loaves: expected a finite number >= 1, got 2.0"),
        ({"grams": 1, "loaves": "2.5"}, "loaves: expected a finite number >= 1, got '2.5'"),
        ({"grams": 1, "loaves": True}, "loaves: expected a finite number >= 1, got True"),
        ({"grams": 1, "loaves": None}, "loaves: expected a finite number >= 1, got None"),
        ({"grams": 1, "shape": "square"}, "shape: expected 'round' or 'long', got 'square'"),
        ({"grams": 1, "heat": (3, 2)}, "heat: expected a positive finite number, got (3, 2)"),
        ({"grams": 1, "heat": (1, 2, 3)}, "heat: expected"),
        ({"grams": 1, "extras": {"salt": "a pinch"}}, "extras: expected numbers by name"),
        ({"gram": 1}, "unknown option 'gram'; did you mean 'grams'?"),
        ({"zzz": 1}, "unknown option 'zzz'; known: grams, loaves, shape, heat, extras"),
    ],
)
def test_other_values_are_refused_by_name(values, message):
    with pytest.raises(M3Error) as error:
        Baking.of(**values)
    assert message in str(error.value)


def test_a_function_takes_the_fields_as_keywords():
    oven, steam, options, progress = bake("oven", True, grams=500, progress=print)
    assert (oven, steam, options, progress) == ("oven", True, Baking(grams=500.0), print)
    assert bake("oven", options=options)[2] is options
    with pytest.raises(M3Error, match="either options= or grams"):
        bake("oven", options=options, grams=1)
    with pytest.raises(M3Error, match="bake: unknown option 'gram'; did you mean 'grams'"):
        bake("oven", gram=1)


def test_signature_and_docstring_have_the_fields():
    parameters = inspect.signature(bake).parameters
    assert list(parameters) == [
        "oven", "steam", "grams", "loaves", "shape", "heat", "extras", "progress",
    ]  # fmt: skip
    assert parameters["grams"].default is inspect.Parameter.empty
    assert parameters["loaves"].default == 2
    # Newer versions of Python take the margin away themselves.
    assert "    grams: Flour. More of it.\n    loaves: How many.\n" in inspect.getdoc(bake)
    assert "options:" not in bake.__doc__
    assert inspect.signature(fit).parameters["huber_delta"].default is None


def test_an_option_can_be_the_same_as_another_but_for_some_of_it():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Frying(Options):
        grams: float = same_as(Baking, "grams", default=10.0, help="Butter.")
        extras: dict[str, float] = same_as(Baking, "extras")

    options = Frying()
    assert (options.grams, options.extras) == (10.0, {})
    grams = option_of(dataclasses.fields(Frying)[0])
    assert (grams.unit, grams.help, grams.summary) == ("g", "Butter.", "Butter.")
    assert option_of(dataclasses.fields(Baking)[0]).summary == "Flour."


@pytest.mark.parametrize("options", CLASSES, ids=lambda c: c.__name__)
def test_every_option_is_fully_declared(options):
    for field in dataclasses.fields(options):
        known = option_of(field)
        assert known.kind in KINDS, field.name
        assert known.help.endswith("."), field.name
        assert known.help[0].isupper() or known.choices or known.kind in ("text", "prior")
        default = default_of(field)
        if default is not dataclasses.MISSING and default is not None and known.choices:
            parts = (default,) if isinstance(default, str) else default
            assert set(parts) <= set(known.choices), field.name


def test_toml_leaves_out_what_no_file_can_say():
    assert "constraints" not in toml_kinds(OptimizeOptions)
    assert toml_kinds(FitOptions)["precision"] == "text"
    assert toml_kinds(FitOptions, ["starts"]) == {"starts": "whole number"}

"""Units of a run table's columns: what turns a column's own numbers into the table's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from ..formatting import quoted

Array = npt.NDArray[Any]

COUNTS = {"n_params", "target_tokens", "total_tokens", "compute"}
_COUNT_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_BITS = float(np.log(2.0))


@dataclasses.dataclass(frozen=True)
class Unit:
    """What a column's numbers are in.

    Attributes:
        name: as it was given.
        convert: (n,) numbers in the unit, and (n,) or scalar bytes a token, to those of the table.
        allowed: which numbers there may be, in words, where they are not those of the column.
        per_byte: whether it takes bytes per token.
        measured: whether it says that compute is measured, and need not be near 6·N·D.
    """

    name: str | float
    convert: Callable[[Array, Any], Array]
    allowed: str = ""
    per_byte: bool = False
    measured: bool = False


def _factor(name: str | float, factor: float) -> Unit:
    return Unit(name, lambda numbers, _: numbers * factor)


def _logarithm(numbers: Array, _: Any) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(numbers)


_MEASURED = Unit("measured", lambda numbers, _: numbers, measured=True)
_PERPLEXITY = Unit("perplexity", _logarithm, allowed="a perplexity above 1")
_LOSS_UNITS = {
    "nats": _factor("nats", 1.0),
    "bits": _factor("bits", _BITS),
    "perplexity": _PERPLEXITY,
    "ppl": _PERPLEXITY,
    "bpb": Unit("bpb", lambda numbers, bytes_: numbers * (_BITS * bytes_), per_byte=True),
}


def unit_of(name: str, unit: str | float, source: str) -> Unit:
    """The unit of column `name`. Raises `M3Error` on one that it has not."""
    named = {word: _factor(word, factor) for word, factor in _COUNT_UNITS.items()}
    named = named if name in COUNTS else _LOSS_UNITS if name == "loss" else {}
    if name == "compute":
        named = {**named, "measured": _MEASURED}
    if isinstance(unit, str) and unit in named:
        return named[unit]
    if isinstance(unit, int | float) and not isinstance(unit, bool) and 0 < unit < np.inf:
        return _factor(unit, float(unit))
    words = f"one of {quoted(named)} or " if named else ""
    raise M3Error(
        f"{source}: units: unknown unit {unit!r} for {name!r}, "
        f"expected {words}a positive number to multiply by"
    )

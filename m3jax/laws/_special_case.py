"""Special cases of a law: some coefficients held, and what then has no effect left out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from .._errors import M3Error
from ..recipe import Array, Recipe
from ._log_space import LogSpaceLaw


def special_case(
    law: LogSpaceLaw,
    name: str,
    held: Mapping[str, float],
    *,
    variables: tuple[str, ...] | None = None,
) -> LogSpaceLaw:
    """The law with coefficients held, as one of its own with fewer coefficients.

    `fit(..., fixed=...)` holds coefficients in one fit; this is for comparing a law with what it
    becomes. Amplitudes and exponents can be held at 0 only, which takes the term or the power away;
    shape coefficients at any value within their bounds.

    Args:
        law: a log-space law.
        name: of the special case.
        held: coefficient -> value.
        variables: what the loss still depends on; default all that the law depends on.

    Raises `M3Error` on a name that the law does not have, or a value it cannot be held at.
    """
    exponents = {exponent for powers in law.terms.values() for exponent in powers}
    for coefficient, value in held.items():
        if coefficient not in law.names:
            raise M3Error(f"law {law.name} has no coefficient {coefficient!r}")
        low, high = law.coefficients[law.names.index(coefficient)].bounds
        if coefficient in law.terms or coefficient in exponents:
            if value != 0 or (coefficient in law.terms and law.combine is not None):
                raise M3Error(f"{law.name}, {coefficient}: cannot be held at {value:g}, only at 0")
        elif not low <= value <= high:
            raise M3Error(f"{law.name}, {coefficient}: expected {low:g} to {high:g}, got {value:g}")
    terms = {
        amplitude: {e: power for e, power in powers.items() if e not in held}
        for amplitude, powers in law.terms.items()
        if amplitude not in held
    }
    used = {feature for powers in terms.values() for _, feature in powers.values()}
    gone = {*held, *exponents} - {e for powers in terms.values() for e in powers}
    if law.shapes is not None:
        gone |= {shape for feature, shape in law.shapes.items() if feature not in used}
    # The law's features want all of its coefficients by name, also where no term uses them.
    constant = {
        c.name: _log(value) if c.log else value
        for c in law.coefficients
        if c.name in gone
        for value in [held.get(c.name, c.neutral)]
    }

    def features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
        every = law.features({**constant, **theta}, recipe)
        return {feature: every[feature] for feature in every if feature in used}

    shapes = law.shapes and {f: shape for f, shape in law.shapes.items() if shape not in gone}
    return dataclasses.replace(
        law,
        name=name,
        coefficients=tuple(c for c in law.coefficients if c.name not in gone),
        terms=terms,
        features=features,
        shapes=shapes,
        diluting=tuple(name for name in law.diluting if name in terms),
        variables=law.variables if variables is None else variables,
        formula=f"{law.formula}; {', '.join(f'{n} = {value:g}' for n, value in held.items())}",
        source=f"a special case of `{law.name}`",
        published={},
    )


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf

"""What the recipes of pooled languages may rest on: the runs of all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...formatting import quantity, write_brief
from ...laws import Law
from ...variables import DECISION_VARIABLES
from ..problem import SPARE_RUNS, Evidence, Scope

# What a range that is no run variable, or need not vary by itself, follows from.
_FOLLOWS = {"final_ratio": ("target_ratio",), "compute": ("n_params", "total_tokens")}


def pooled_scopes(scopes: Sequence[Scope]) -> tuple[Scope, ...]:
    """What each of several languages may rest on when they are fitted together.

    A coefficient that one language's runs do not determine is the population's, and that comes from
    all runs: so a variable that some language varies ranges as far as it does in any of them. What
    no language varies tells nothing between languages either, for each has a scale of its own:
    there a language stays with what it has run.
    """
    varies = frozenset().union(*(scope.varies for scope in scopes))
    shared = {
        name
        for name in {name for scope in scopes for name in scope.ranges}
        if name == "stage_fraction" or varies.intersection((name, *_FOLLOWS.get(name, ())))
    }
    together = {}
    for name in shared:
        spans = [scope.ranges[name] for scope in scopes if name in scope.ranges]
        together[name] = (min(low for low, _ in spans), max(high for _, high in spans))
    shares = [scope.first_share for scope in scopes if "stage_fraction" in scope.ranges]
    typical = float(np.median(shares)) if shares else 0.0
    return tuple(
        Scope(
            ranges={**scope.ranges, **together},
            varies=varies,
            first_share=scope.first_share if "stage_fraction" in scope.ranges else typical,
            languages=len(scopes),
        )
        for scope in scopes
    )


def public_ground(scope: Scope) -> Scope:
    """What a language with few runs may rest on beside public run tables."""
    public = Evidence.public().scope
    return dataclasses.replace(
        pooled_scopes((scope, public))[0], languages=public.languages, name=public.name
    )


def rest_on_public(law: Law, prior: str | None, runs: np.ndarray, free: np.ndarray) -> list[bool]:
    """Which of the languages with so many runs and free coefficients, (L,), have too few runs.

    None where the prior is not what public tables say of all coefficients together.
    """
    public = prior == "public" and law.name == Evidence.public().law.name
    return [public and few for few in (runs < free + SPARE_RUNS).tolist()]


def ground_notes(
    ground: Scope, runs: int, free: int, *, pooled: bool, public: bool
) -> tuple[str, ...]:
    """What to say of the ground of a language with so many runs and free coefficients."""
    if public:
        own = quantity(runs, "run") if runs else "no runs"
        return (f"its recipe rests on public run tables: {own} of its own",)
    if not pooled:
        return ()
    spans = ", ".join(
        f"{name} {write_brief(name, low)}–{write_brief(name, high)}"
        for name, (low, high) in ((name, ground.ranges[name]) for name in DECISION_VARIABLES)
    )
    notes = [f"ground: the pooled table of {ground.languages} languages ({spans})"]
    if runs < free + SPARE_RUNS:
        notes.append(
            f"its recipe rests on the population of all languages: {runs} runs of its own for"
            f" {free} coefficients"
        )
    return tuple(notes)

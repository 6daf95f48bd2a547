"""What a further run may be: its variables in logarithms, their ranges, and what runs may cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from .._errors import M3Error
from ..computing import array_namespace
from ..fitting import Scope
from ..laws import Law
from ..options import Bounds
from ..recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array, Recipe
from ..variables import SHEET_VARIABLES

_CHEAPER = np.array([-1.0, -1.0, -1.0, 1.0, 0.0])  # the way in which a run gets cheaper
_LEAST = 0.05  # of an even share of the cost, that a run counts for when costs are cut
_FURTHEST = 1e3  # that a cut may reach, in log units
_HALVINGS = 50
_DIGITS = 3  # of the numbers on a run sheet


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunSpace:
    """Where further runs of one language may lie.

    A run is x (5,), the logarithms of `SHEET_VARIABLES`, of one kind, an index into
    `recipe.REGIMES`. Of a two-stage run with r_1 = φ·r the final ratio follows,
    r_f = r·(φ + (1 − φ)/s), and r is cut where that would be too high.

    Attributes:
        low, high: bounds of x for each kind, (3, 5).
        total: bounds of the log of all tokens, (2,).
        share: φ, ().
        log_final: highest log r_f, ().
        moves: which of x a search may move by steps, (5,); sizes on a ladder it may not.
        ladder: log model sizes that can be trained, (s,); None for any.
        kinds: those on offer.
    """

    low: np.ndarray
    high: np.ndarray
    total: np.ndarray
    share: Array
    log_final: Array
    moves: np.ndarray
    ladder: np.ndarray | None
    kinds: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def recipe(self, kind: Array, x: Array) -> Recipe:
        """Recipes of runs x (..., 5) of kinds (...)."""
        xp = array_namespace(kind, x)
        n, tokens, k, _, s = (x[..., i] for i in range(len(SHEET_VARIABLES)))
        two = kind == TWO_STAGE
        r, stretch = self._ratio(kind, x), self._stretch(s)
        return Recipe(
            xp.exp(n),
            xp.exp(tokens),
            xp.exp(k),
            xp.exp(r),
            xp.exp(xp.where(two, r + stretch, r)),
            xp.where(two, self.share, 1.0) * xp.exp(r),
        )

    def _stretch(self, s: Array) -> Array:
        """log r_f / r of two stages, the last with a share exp(s) of the tokens."""
        xp = array_namespace(s)
        return xp.log(self.share + (1 - self.share) * xp.exp(-s))

    def _ratio(self, kind: Array, x: Array) -> Array:
        """log r."""
        xp = array_namespace(kind, x)
        most = self.log_final - self._stretch(x[..., 4])
        return xp.where(kind == TWO_STAGE, xp.minimum(x[..., 3], most), x[..., 3])

    def within(self, kind: Array, x: Array) -> Array:
        """Runs x (..., 5) moved into the bounds.

        Where there are too few tokens in all, or too many, epochs make up for it as far as they
        may, then unique tokens, then the ratio.
        """
        xp = array_namespace(kind, x)
        low, high = xp.asarray(self.low)[kind], xp.asarray(self.high)[kind]
        x = xp.clip(x, low, high)
        moved = [x[..., i] for i in range(len(SHEET_VARIABLES))]
        moved[3] = self._ratio(kind, x)
        total = moved[1] + moved[2] - moved[3]
        lacks = xp.clip(total, self.total[0], self.total[1]) - total
        for i, sign in ((2, 1.0), (1, 1.0), (3, -1.0)):
            before = moved[i]
            moved[i] = xp.clip(before + sign * lacks, low[..., i], high[..., i])
            lacks = lacks - sign * (moved[i] - before)
        return xp.stack(moved, axis=-1)

    def cost(self, kind: Array, x: Array) -> Array:
        """Compute of runs x (..., 5) of kinds (...), FLOP."""
        return self.recipe(kind, x).compute

    def afford(self, kind: Array, x: Array, budget: Array, *, spend: bool = False) -> Array:
        """Runs x (..., n, 5) moved until n together cost no more than the budget (...).

        Dear runs move most, as in a projection: in size, tokens and epochs down, in target ratio
        up. With `spend` cheap ones move the other way too, until the budget is spent. Where the
        bounds leave no way they end where they are cheapest (or dearest).
        """
        xp = array_namespace(kind, x)
        way = _CHEAPER * self.moves
        x = self.within(kind, x)
        cost = self.cost(kind, x)
        count, together = cost.shape[-1], xp.sum(cost, axis=-1)
        share = xp.maximum(cost / together[..., None], _LEAST / count) * count

        def cut(by: Array) -> Array:
            return self.within(kind, x + (by[..., None] * share)[..., None] * way)

        def halve(_: Any, span: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = (span[0] + span[1]) / 2
            dear = xp.sum(self.cost(kind, cut(middle)), axis=-1) > budget
            return xp.where(dear, middle, span[0]), xp.where(dear, span[1], middle)

        span = together * 0.0 - (_FURTHEST if spend else 0.0), together * 0.0 + _FURTHEST
        if xp is np:
            for _ in range(_HALVINGS):
                span = halve(None, span)
        else:
            span = jax.lax.fori_loop(0, _HALVINGS, halve, span)
        moved = cut(span[1])
        return moved if spend else xp.where((together <= budget)[..., None, None], x, moved)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Kinds (count,) and runs (count, 5) at random, uniform in logarithms."""
        kind = rng.choice(self.kinds, count)
        low, high = self.low[kind], self.high[kind]
        x = low + (high - low) * rng.random((count, len(SHEET_VARIABLES)))
        if self.ladder is not None:
            x[:, 0] = rng.choice(self.ladder, count)
        return kind, x

    def cheapest(self) -> tuple[int, np.ndarray, float]:
        """Kind, x (5,) and compute (FLOP) of the cheapest run."""
        x = np.where(_CHEAPER > 0, self.high, self.low)
        if self.ladder is not None:
            x[:, 0] = self.ladder.min()
        kinds = np.array(self.kinds)
        runs = self.within(kinds, x[kinds])
        cost = self.cost(kinds, runs)
        i = int(np.argmin(cost))
        return int(kinds[i]), runs[i], float(cost[i])

    def rounded(self, kind: np.ndarray, x: np.ndarray) -> Recipe:
        """Recipes of runs x (n, 5) in few digits, counts whole, none of it out of bounds.

        Sizes are rounded down, the rest to the nearest: together at most 1.5% dearer.
        """
        exact = self.recipe(kind, x)
        low, high = np.exp(self.low[kind]), np.exp(self.high[kind])

        def few(i: int, values: np.ndarray, *, down: bool = False) -> np.ndarray:
            out = values
            for how in (np.ceil, np.floor) if down else (np.ceil, np.floor, np.round):
                new = _rounded(values, how)  # the last that is within bounds is taken
                inside = (new >= low[:, i] * (1 - 1e-12)) & (new <= high[:, i] * (1 + 1e-12))
                out = np.where(inside, new, out)
            return out

        size = exact.n_params if self.ladder is not None else few(0, exact.n_params, down=True)
        tokens, epochs = few(1, exact.target_tokens), few(2, exact.epochs)
        ratio = few(3, exact.target_ratio)
        # Numbers that stay exact come out of logarithms: 1 may be 0.9999999999999999.
        ratio, epochs = np.round(ratio, 12), np.round(epochs, 12)
        two = kind == TWO_STAGE
        final = np.minimum(_rounded(exact.final_ratio), 1.0)
        final = np.where(final > np.exp(self.log_final), exact.final_ratio, final)
        two &= final > ratio
        first = _rounded(np.asarray(self.share) * ratio)
        return Recipe.create(
            n_params=np.round(size),
            target_tokens=np.round(tokens),
            epochs=epochs,
            target_ratio=ratio,
            final_ratio=np.where(two, final, ratio),
            first_ratio=np.where(two, first, ratio),
        )


def _rounded(values: np.ndarray, how: Any = np.round) -> np.ndarray:
    """To a few digits."""
    values = np.asarray(values, dtype=np.float64)
    power = np.floor(np.log10(np.where(values > 0, values, 1.0))) - _DIGITS + 1
    digits = how(np.round(values / 10.0**power, 2))  # what is 0.005% off counts as there
    # Through text, so that 0.342 is 0.342 and not 0.34200000000000003.
    texts = [f"{d:.0f}e{e:.0f}" for d, e in zip(digits.flat, power.flat, strict=True)]
    return np.array([float(text) for text in texts]).reshape(values.shape)


def run_space(
    language: str,
    law: Law,
    scope: Scope,
    *,
    most_tokens: float,
    reach: float,
    bounds: Mapping[str, Bounds],
    ladder: Sequence[float] | None,
) -> tuple[RunSpace, tuple[str, ...]]:
    """The space of one language, and notes on it.

    By default each variable, and all tokens, stay in the range of the runs, `reach` times wider
    either way (ratios up to 1), and unique target tokens are at most `most_tokens`; `bounds` go
    before that.
    Raises `M3Error` where bounds are unknown or leave nothing.
    """
    for name in bounds:
        if name not in SHEET_VARIABLES:
            raise M3Error(f"unknown range {name!r} of a run; known: {', '.join(SHEET_VARIABLES)}")
    notes = []
    spans: dict[str, Bounds] = {}
    for name in SHEET_VARIABLES[:4]:
        low, high = scope.ranges[name]
        most = 1.0 if name == "target_ratio" else np.inf
        low, high = bounds.get(name, (low / reach, min(high * reach, most)))
        if name == "target_ratio" and name not in law.variables:
            low = high  # the law does not see it
        spans[name] = (low, high)
    low, high = spans["target_tokens"]
    if low > most_tokens:
        notes.append(
            f"all runs had more than the {most_tokens:.6g} unique target tokens there are: further"
            " runs take all of them"
        )
    spans["target_tokens"] = (min(low, most_tokens), min(high, most_tokens))
    for name, (low, high) in spans.items():
        most = 1.0 if name == "target_ratio" else np.inf
        if not 0 < low <= high * (1 + 1e-12) <= most * (1 + 1e-12):
            raise M3Error(
                f"language {language!r}, {name}: expected 0 < low <= high"
                f"{' <= 1' if most == 1 else ''}, got {low:g} to {high:g}"
            )

    kinds = []
    low_r, high_r = spans["target_ratio"]
    if high_r >= 1 - 1e-9:
        kinds.append(MONOLINGUAL)
    if low_r < 1 - 1e-9:
        kinds.append(SINGLE_STAGE)
    share, final = scope.first_share, 1.0 if reach > 1 else scope.ranges["final_ratio"][1]
    stage = _stage(law, scope, share, final, low_r, bounds.get("stage_fraction"))
    if stage is not None and low_r < 1 - 1e-9:
        kinds.append(TWO_STAGE)
    elif "final_ratio" in law.variables:
        notes.append("no two-stage runs are proposed: none has been run, or the ranges leave none")

    low, high = (
        np.log(np.array([[*(span[i] for span in spans.values()), 1.0]] * 3)) for i in (0, 1)
    )
    low[MONOLINGUAL, 3] = high[MONOLINGUAL, 3] = 0.0
    if stage is not None:
        low[TWO_STAGE, 4], high[TWO_STAGE, 4] = np.log(stage)
    total = np.log(scope.ranges["total_tokens"]) + np.log(reach) * np.array([-1.0, 1.0])
    sizes = None
    moves = np.ones(len(SHEET_VARIABLES))
    if ladder is not None:
        sizes = np.log(np.unique(np.asarray(ladder, dtype=np.float64)))
        sizes = sizes[(sizes >= low[0, 0] - 1e-9) & (sizes <= high[0, 0] + 1e-9)]
        if not len(sizes):
            raise M3Error(
                f"language {language!r}: no size of the ladder lies between"
                f" {spans['n_params'][0]:g} and {spans['n_params'][1]:g}, the n_params of the runs;"
                " widen them"
            )
        moves[0] = 0.0
    return (
        RunSpace(low, high, total, np.float64(share), np.log(final), moves, sizes, tuple(kinds)),
        tuple(notes),
    )


def _stage(
    law: Law, scope: Scope, share: float, final: float, low_ratio: float, given: Bounds | None
) -> Bounds | None:
    """Range of the final stage's share of tokens; None where no two-stage run is on offer."""
    span = given or scope.ranges.get("stage_fraction")
    if span is None or not {"final_ratio", "target_ratio"} <= set(law.variables):
        return None
    if not 0 < span[0] <= span[1] <= 1:
        raise M3Error(
            f"stage_fraction: expected 0 < low <= high <= 1, got {span[0]:g} to {span[1]:g}"
        )
    # r_f = r·(φ + (1 − φ)/s) <= final even at the lowest r.
    shortest = (1 - share) / (final / low_ratio - share) if final > low_ratio else np.inf
    low, high = max(span[0], shortest), min(span[1], 0.99)
    return (low, high) if low <= high else None

"""One model for several target languages and a source: what share of its tokens each should get.

Variables are logarithms: n of the size, d of all tokens, p of each language's ratio, and q of the
factor by which a final stage concentrates them all. Where all text of a language is read then
k = p + d − log D_T; where a part is, that moves the text instead. Every limit is linear or a
log-sum-exp, and for posynomial laws the weighted mean loss is convex: a barrier method with Newton
steps finds its minimum, with a bound from duality. Other laws are begun from many places.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...computing import in_double_precision, jit_by_first
from ...fitting import Fits
from ...laws import Law
from ...options import Limits, SplitOptions, default_of, takes
from ...recipe import REGIMES, SINGLE_STAGE, TWO_STAGE, Array, Recipe
from ...variables import DECISION_VARIABLES
from ..question import Questions, Standing
from ..solvers import LIMIT_INDEX, LIMITS, REGIME_TIE, is_posynomial
from ._barrier import BarrierDomain, descend, log_total_ratio
from ._reading import COMMON_ROWS, LANGUAGE_ROWS, SharedOptimum, TargetText, best_reading
from ._results import SharedModel
from ._split import ask_each, normalised_weights

_STARTS = 3
_SCAN = 200  # totals of tokens looked at for starts
_WIDEN = 2e-7  # log units that a variable held at one value is given
_AGREE = 1e-6
_SUPPORTED = {
    *DECISION_VARIABLES,
    "stage_fraction",
    "first_share",
    "max_total_tokens",
    "extrapolate",
}


@takes(SplitOptions)
def shared_model(fits: Fits, *, options: SplitOptions) -> SharedModel:
    """Size, tokens, and ratio and epochs of each language for the lowest weighted mean loss.

    Each language's law is asked about that language against everything else: the text of the other
    target languages counts as source text, as useful to it as the source that its runs had. Where
    target languages help each other more, or less, than that source, the answer is off; the fits
    have no runs that tell.

    Ratios sum to at most one, what is left is source text. With two stages all languages are
    concentrated in the final one by the same factor, so that they share its length. With many
    languages ratios are smaller than any that was run: give `target_ratio` and `epochs` bounds.

    Args:
        fits: fitted laws.
        options: the fields of `SplitOptions`, each a keyword. Of the limits `n_params`, `epochs`,
            `target_ratio`, `final_ratio`, `stage_fraction`, `first_share` and `max_total_tokens`
            are available; bounds hold for every language.

    Raises `M3Error` on bad input, other limits, and where no recipe keeps them all.
    """
    for field in dataclasses.fields(Limits):
        if field.name not in _SUPPORTED and getattr(options, field.name) != default_of(field):
            raise M3Error(f"shared_model: limit {field.name!r} is not available for a shared model")
    questions = ask_each(fits, options, "shared_model")
    weight = normalised_weights(options.weights, questions.languages)
    theta = questions.theta
    log_t = np.log(questions.values.target_tokens)
    share = float(np.median(questions.values.first_share))
    budget = float(np.log(options.compute / 6.0))
    convex = is_posynomial(fits.law)
    best: SharedOptimum | None = None
    with in_double_precision():
        for regime in (SINGLE_STAGE, TWO_STAGE):
            if not questions.offered[regime].all():
                continue

            def solved(in_part: np.ndarray, regime: int = regime) -> SharedOptimum | None:
                """The best where these languages' text, (L,) bool, is read in part."""
                bounds = _bounds(questions, share, regime, in_part)
                domain = _domain(questions, bounds, log_t, budget)
                starts = _starts(domain, bounds, log_t, budget, 1 if convex else _STARTS)
                if not starts:
                    return None
                text = TargetText(log_t, np.log(questions.values.fewest_passes()), in_part)
                mean_loss = partial(_mean_loss, fits.law, theta, text, weight, share)
                ends = [descend(mean_loss, domain, start) for start in starts]
                values = np.array([end.value for end in ends])
                end = ends[int(np.argmin(values))]
                return SharedOptimum(
                    end, regime, float(np.mean(values <= end.value + _AGREE)), text
                )

            settled = best_reading(solved, len(log_t))
            if settled is not None and (
                best is None or np.log(settled.end.value) < np.log(best.end.value) - REGIME_TIE
            ):
                best = settled
    if best is None:
        raise M3Error(f"shared_model: {_infeasibility(questions)}")
    end, regime, agreement, text = best
    x = end.x
    log_read, log_epochs = text.as_read(x[3:] + x[1], np)
    q = x[2] if regime == TWO_STAGE else 0.0
    ratio = np.exp(x[3:])
    recipe = Recipe(
        n_params=np.full(len(ratio), np.exp(x[0])),
        target_tokens=np.exp(log_read),
        epochs=np.exp(log_epochs),
        target_ratio=ratio,
        final_ratio=ratio * np.exp(q),
        first_ratio=ratio * (share if regime == TWO_STAGE else 1.0),
    )
    with in_double_precision():
        loss = np.exp(np.asarray(_log_losses(fits.law, theta, recipe)))
    return SharedModel(
        languages=questions.languages,
        weight=weight,
        n_params=float(np.exp(x[0])),
        total_tokens=float(np.exp(x[1])),
        recipe=recipe,
        standings=_standings(questions, recipe, end.multipliers),
        source_ratio=float(max(1.0 - ratio.sum(), 0.0)),
        regime=REGIMES[regime],
        loss=loss,
        mean_loss=float(weight @ loss),
        kkt=end.kkt,
        gap=max(end.value - end.bound, 0.0) if convex else float("inf"),
        agreement=agreement,
    )


def _standings(questions: Questions, recipe: Recipe, by_row: np.ndarray) -> tuple[Standing, ...]:
    """How each language's recipe stands, from the multipliers of the domain's rows, (M,)."""
    count = len(questions.languages)
    shared = [LIMIT_INDEX[name] for name in COMMON_ROWS]
    own = [LIMIT_INDEX[name] for name in LANGUAGE_ROWS]
    multipliers = np.zeros((count, len(LIMITS)))
    multipliers[:, shared] = by_row[: len(shared)]
    multipliers[:, own] = by_row[len(shared) :].reshape(len(own), count).T
    return tuple(
        questions.standing(
            i,
            jax.tree.map(lambda leaf, i=i: float(leaf[i]), recipe),
            multipliers[i],
            float(questions.values.compute[i]),
            float(questions.at_hand[i]),
        )
        for i in range(count)
    )


@jit_by_first
def _log_losses(law: Law, theta: Array, recipe: Recipe) -> Array:
    return jax.vmap(lambda t, r: law.log_loss_theta(t, r))(theta, recipe)


@jit_by_first
def _losses_with_derivatives(
    law: Law, theta: Array, text: TargetText, y: Array, share: Array
) -> Any:
    """Loss of each language at y = (n, d, q, p), (L, 4), with gradient and Hessian."""

    def loss(y: Array, theta: Array, text: TargetText) -> Array:
        n, d, q, p = y
        ratio = jnp.exp(p)
        read, epochs = text.as_read(p + d, jnp)
        recipe = Recipe(
            jnp.exp(n), jnp.exp(read), jnp.exp(epochs), ratio, jnp.exp(p + q), share * ratio
        )
        return jnp.exp(law.log_loss_theta(theta, recipe))

    return tuple(jax.vmap(f)(y, theta, text) for f in (loss, jax.grad(loss), jax.hessian(loss)))


def _mean_loss(
    law: Law, theta: np.ndarray, text: TargetText, weight: np.ndarray, share: float, x: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted mean loss with gradient and Hessian in x."""
    count = len(weight)
    y = np.concatenate([np.tile(x[:3], (count, 1)), x[3:, None]], axis=1)
    value, first, second = (
        np.asarray(a) for a in _losses_with_derivatives(law, theta, text, y, share)
    )
    gradient = np.concatenate([weight @ first[:, :3], weight * first[:, 3]])
    hessian = np.zeros((count + 3, count + 3))
    hessian[:3, :3] = np.tensordot(weight, second[:, :3, :3], 1)
    hessian[:3, 3:] = (weight[:, None] * second[:, :3, 3]).T
    hessian[3:, :3] = hessian[:3, 3:].T
    hessian[3:, 3:] = np.diag(weight * second[:, 3, 3])
    return float(weight @ value), gradient, hessian


class _LogBounds(NamedTuple):
    """(low, high) of n and q, and of each language's log ratio, final ratio and epochs, (L,).

    Epochs are target tokens seen for each at hand.
    """

    n: tuple[Any, Any]
    q: tuple[Any, Any]
    ratio: tuple[Any, Any]
    final: tuple[Any, Any]
    epochs: tuple[Any, Any]


def _bounds(questions: Questions, share: float, regime: int, in_part: np.ndarray) -> _LogBounds:
    """What the allowed ranges of all languages have in common, text read `in_part`, (L,) bool."""
    q = questions.values
    low, high = np.log(q.low), np.log(q.high)
    fewest = np.log(q.fewest_passes())
    least = np.log(q.least_tokens / q.target_tokens) + fewest
    epochs = np.where(in_part, least, fewest), np.where(in_part, fewest, high[1])
    n = low[0].max(), high[0].min()
    concentrate = 0.0, 0.0
    if regime == TWO_STAGE:
        # s = (1 − φ)/(e^q − φ), as in the problem of one language.
        ends = (float(s) for s in (q.stage_high.min(), q.stage_low.max()))
        least, most = (float(np.log(share + (1 - share) / s)) for s in ends)
        concentrate = least, most
    pairs = n, concentrate, (low[2], high[2]), (low[3], high[3]), epochs
    return _LogBounds(*(_widened(*pair) for pair in pairs))


def _widened(low: Any, high: Any) -> tuple[Any, Any]:
    """The two ends; where they are one value the upper is raised: barriers need an inside."""
    held = (high >= low) & (high - low < _WIDEN)
    return low + 0.0 * high, np.where(held, low + _WIDEN, high)


def _domain(
    questions: Questions, bounds: _LogBounds, log_t: np.ndarray, budget: float
) -> BarrierDomain:
    """The limits; `budget` is log(C / 6) = n + d at most."""
    n, q, ratio, final, epochs = bounds
    count = len(log_t)
    most = min(float(np.log(questions.values.total_tokens.min())), budget - n[0])
    common_rows = [  # coefficients of (n, d, q), limit
        ((1, 0, 0), n[1]),
        ((-1, 0, 0), -n[0]),
        ((1, 1, 0), budget),
        ((0, 1, 0), most),
        ((0, 0, 1), q[1]),
        ((0, 0, -1), -q[0]),
    ]
    language_rows = [  # of each language: coefficients of (n, d, q), of its p, limits (L,)
        ((0, 0, 0), 1, ratio[1]),
        ((0, 0, 0), -1, -ratio[0]),
        ((0, 1, 0), 1, epochs[1] + log_t),
        ((0, -1, 0), -1, -epochs[0] - log_t),
        ((0, 0, 1), 1, final[1]),
        ((0, 0, -1), -1, -final[0]),
    ]
    head = [np.array([h], dtype=float) for h, _ in common_rows]
    head += [np.tile(np.array(h, dtype=float), (count, 1)) for h, _, _ in language_rows]
    tail = [np.zeros(len(common_rows)), *(np.full(count, float(t)) for _, t, _ in language_rows)]
    language = [np.zeros(len(common_rows), dtype=np.int64)]
    language += [np.arange(count)] * len(language_rows)
    limit = [np.array([b for _, b in common_rows], dtype=float), *(b for _, _, b in language_rows)]
    least = (epochs[0] + log_t - np.minimum(ratio[1], 0.0)).max()
    low = np.concatenate([[n[0], least, q[0]], ratio[0]])
    high = np.concatenate([[n[1], most, q[1]], np.minimum(ratio[1], 0.0)])
    return BarrierDomain(
        head=np.concatenate(head),
        tail=np.concatenate(tail),
        language=np.concatenate(language),
        limit=np.concatenate(limit),
        low=low,
        high=high,
    )


def _starts(
    domain: BarrierDomain, bounds: _LogBounds, log_t: np.ndarray, budget: float, count: int
) -> list[np.ndarray]:
    """Points well inside the domain at so many totals of tokens; none where there are none."""
    n, q, ratio, final, epochs = bounds
    starts = []
    for d in np.linspace(domain.low[1], domain.high[1], _SCAN + 2)[1:-1]:
        top = min(n[1], budget - d)
        if not top > n[0]:
            continue
        at_q = q[0] + min(0.1, 0.5 * (q[1] - q[0]))
        bottom = np.maximum.reduce([ratio[0], epochs[0] + log_t - d, final[0] - at_q])
        ceiling = np.minimum.reduce([ratio[1], epochs[1] + log_t - d, final[1] - at_q])
        if not np.all(bottom < ceiling) or log_total_ratio(bottom) + at_q >= 0:
            continue
        at_p = bottom + _fraction(bottom, ceiling, at_q) * (ceiling - bottom)
        x = np.concatenate([[0.5 * (max(n[0], top - 0.5) + top), d, at_q], at_p])
        if np.all(domain.slacks(x) > 0):
            starts.append(x)
    chosen = np.unique(np.linspace(0, len(starts) - 1, count + 2).astype(int)[1:-1])
    return [starts[i] for i in chosen] if starts else []


def _fraction(bottom: np.ndarray, ceiling: np.ndarray, q: float) -> float:
    """How far from bottom to ceiling ratios may go and leave room in their sum."""
    goal = np.log((np.exp(log_total_ratio(bottom) + q) + 1.0) / 2)
    low, high = 0.0, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        inside = log_total_ratio(bottom + middle * (ceiling - bottom)) + q <= goal
        low, high = (middle, high) if inside else (low, middle)
    return high if high < 1e-9 else low


def _infeasibility(questions: Questions) -> str:
    """Why there is no recipe."""
    count = len(questions)
    regimes = [regime for regime in (SINGLE_STAGE, TWO_STAGE) if questions.offered[regime].all()]
    if not regimes:
        return "some language's runs or limits allow no source text beside it"
    n, _, ratio, _, epochs = _bounds(questions, 0.0, regimes[0], np.ones(count, dtype=bool))
    if n[0] > n[1]:
        return "no n_params lies within the bounds of all languages"
    total = float(np.exp(ratio[0]).sum())
    if total >= 1:
        return (
            f"the lowest target ratios of the {count} languages sum to {total:.3g}, more than"
            " one: allow lower ones by target_ratio=(LOW, HIGH)"
        )
    tokens = float((np.exp(epochs[0]) * questions.values.target_tokens).sum())
    room = float(questions.values.compute[0] / 6.0 / np.exp(n[0]))
    if tokens >= room:
        return (
            f"the least that must be read of all corpora takes {tokens:.4g} tokens, the budget"
            f" allows {room:.4g} with the smallest model: allow smaller ones by"
            " n_params=(LOW, HIGH)"
        )
    return "the bounds of ratios and epochs, the budget and the sum of ratios cannot all be kept"

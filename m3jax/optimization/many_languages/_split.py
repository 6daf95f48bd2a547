"""One compute budget for many languages, each with a model of its own.

Minimises Σ w_i·L_i(C_i) under Σ C_i = C. The best loss L_i of a language in one regime is smooth in
its compute, with the shadow price of compute as slope, so that at the best split all languages have
w_i·dL_i/dC_i = −λ: bisection finds the price λ, on curves that are refined at the compute that it
gives each language. Which regime a language is in is decided by Lagrangian relaxation: it takes the
regime and compute that minimise w_i·L_i + λ·C_i.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ..._errors import M3Error, option_name, suggestion
from ...fitting import Fits
from ...options import SplitOptions, takes
from ...recipe import REGIMES, Recipe
from ..question import Questions, Standing, ask
from ..solvers import LIMIT_INDEX, REGIME_TIE, best_regime, build_problem, is_posynomial, recipes
from ._results import BudgetSplit

_POINTS = 128  # of each curve, to begin with
_ROUNDS = 14
_TOLERANCE = 1e-10  # KKT residual, see `BudgetSplit`
_SWITCHES = 5  # times regimes are chosen anew
_ABOVE = 1e-4  # how far above the least possible budget curves begin, log


class Curve(NamedTuple):
    """Best log losses at log budgets, with slope −d(log loss)/d(log C) and z; (…,) and (4, …)."""

    log_compute: np.ndarray
    log_loss: np.ndarray
    slope: np.ndarray
    floor: np.ndarray  # proven, where a proof comes with the solution, else as the log loss
    z: np.ndarray


def ask_each(fits: Fits, options: SplitOptions, function: str) -> Questions:
    """One question a language. Raises `M3Error` as `ask` does, in the name of a function."""
    questions = ask(
        fits,
        options,
        compute=options.compute,
        target_tokens=options.target_tokens,
        languages=options.languages,
    )
    if len(questions) != len(questions.languages):
        raise M3Error(f"{function}: expected one compute and one target_tokens a language")
    return questions


def normalised_weights(weights: Mapping[str, float] | None, names: Sequence[str]) -> np.ndarray:
    """Weights by name, 1 by default, scaled to sum to one. Raises `M3Error` on unknown names."""
    for name in weights or {}:
        if name not in names:
            raise M3Error(
                f"{option_name('weights')}: unknown language {name!r}; {suggestion(name, names)}"
            )
    values = np.array([(weights or {}).get(name, 1.0) for name in names])
    return values / values.sum()


@takes(SplitOptions)
def split_budget(fits: Fits, *, options: SplitOptions) -> BudgetSplit:
    """Split one budget over languages, a model each, for the lowest weighted mean loss.

    Args:
        fits: fitted laws.
        options: the fields of `SplitOptions`, each a keyword. Limits are of each language's
            recipe; `constraints` and `max_source_loss` are not available.

    Raises `M3Error` on bad input, and where the budget cannot train all languages.
    """
    questions = ask_each(fits, options, "split_budget")
    if questions.has_functions:
        raise M3Error("split_budget: not available under constraints given as functions")
    weight = normalised_weights(options.weights, questions.languages)
    total = options.compute
    curves = _Curves(questions)
    least = curves.least
    needed = np.exp(least.min(axis=0))
    if not np.all(np.isfinite(needed)) or needed.sum() > total * np.exp(-_ABOVE):
        worst = int(np.argmax(needed))
        raise M3Error(
            f"split_budget: a budget of {total:.4g} FLOP cannot train all {len(needed)} languages:"
            f" the least they need is {needed.sum():.4g}, {questions.languages[worst]!r} alone"
            f" {needed[worst]:.4g}"
        )
    spare = np.log(total - needed.sum() + needed)  # the most that one can have
    start = np.minimum(least + _ABOVE, spare)
    offered = np.isfinite(least)

    coarse = [
        curves.at(k, np.linspace(np.where(offered[k], start[k], spare), spare, _POINTS, axis=1))
        for k in range(len(REGIMES))
    ]
    log_weight = np.log(weight)
    regime = _relaxed_regimes(coarse, weight, total)
    splits: list[_Settled] = []
    for _ in range(_SWITCHES):
        own = Curve(*(_chosen([c[i] for c in coarse], regime) for i in range(5)))
        at, refined = _settle(curves, regime, own, log_weight, total)
        mean = float(weight @ np.exp(at.log_loss))
        price, kkt = _price(at, log_weight, start[regime, np.arange(len(regime))], spare)
        splits.append(_Settled(mean, price, kkt, regime, at, refined))
        log_loss = np.stack(
            [curves.at(k, at.log_compute[:, None]).log_loss[:, 0] for k in range(3)]
        )
        better = best_regime(log_loss)
        # A regime that is only as good is not worth another round.
        lower = log_loss[better, np.arange(len(regime))] < at.log_loss - REGIME_TIE
        if not lower.any():
            break
        regime = np.where(lower, better, regime)
    best = min(splits, key=lambda split: split.mean_loss)
    bound = _lower_bound(coarse, best, weight, total)
    equal = np.log(np.full(len(weight), total / len(weight)))[:, None]
    alike = np.min([curves.at(k, equal).log_loss[:, 0] for k in range(3)], axis=0)
    capped = bool(questions.limits.ladder) or np.isfinite(questions.values.source_tokens).any()
    compute = np.exp(best.at.log_compute)
    recipe = recipes(best.at.z, questions.values, best.regime)
    return BudgetSplit(
        languages=questions.languages,
        weight=weight,
        compute=compute,
        recipe=recipe,
        standings=_standings(questions, compute, recipe, best.regime),
        regime=best.regime,
        loss=np.exp(best.at.log_loss),
        mean_loss=best.mean_loss,
        equal_loss=float(weight @ np.exp(alike)),
        price=best.price,
        kkt=best.kkt,
        gap=max(best.mean_loss - bound, 0.0),
        convex=bool(is_posynomial(fits.law) and not capped),
    )


def _standings(
    questions: Questions, compute: np.ndarray, recipe: Recipe, regime: np.ndarray
) -> tuple[Standing, ...]:
    """How the recipe of each language stands in its part of the budget, (L,)."""
    own = questions.replace(compute=compute)
    solved = own.offering(np.arange(len(REGIMES))[:, None] == regime).solve()
    return tuple(
        questions.standing(
            i,
            jax.tree.map(lambda leaf, i=i: float(leaf[i]), recipe),
            solved.multipliers[regime[i], :, i],
            float(compute[i]),
            float(questions.at_hand[i]),
        )
        for i in range(len(compute))
    )


class _Settled(NamedTuple):
    """The best split with each language's regime held: `at`, leaves (L,), and what it rests on."""

    mean_loss: float
    price: float
    kkt: float
    regime: np.ndarray
    at: Curve
    refined: Curve


class _Curves:
    """The best of each language and regime at any budget."""

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        self.least = np.stack([self._least(k) for k in range(len(REGIMES))])  # (3, L)

    def _least(self, regime: int) -> np.ndarray:
        """Log of the least compute that allows any recipe; infinite if the budget does not."""
        values, offered = self.questions.values, self.questions.offered[regime]
        high = np.log(values.compute)
        low = np.zeros_like(high)

        def possible(log_compute: np.ndarray) -> np.ndarray:
            question = dataclasses.replace(values, compute=np.exp(log_compute))
            with np.errstate(invalid="ignore"):
                # To read a part of the text asks for the least.
                return np.asarray(build_problem(question, regime, in_part=True)[1]) & offered

        never = ~possible(high)
        for _ in range(60):
            middle = (low + high) / 2
            enough = possible(middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(never, np.inf, high)

    def at(self, regime: int | np.ndarray, log_compute: np.ndarray) -> Curve:
        """The curve of a regime, or of one for each language, at budgets (L, G)."""
        count, points = log_compute.shape
        language = np.repeat(np.arange(count), points)
        chosen = np.broadcast_to(regime, count)[language]
        questions = self.questions.take(language).replace(compute=np.exp(log_compute.ravel()))
        solved = questions.offering(np.arange(len(REGIMES))[:, None] == chosen).solve()
        lanes = np.arange(len(language))
        loss = solved.log_loss[chosen, lanes]
        bound = solved.bound[chosen, lanes]
        return Curve(
            log_compute,
            loss.reshape(count, points),
            solved.multipliers[chosen, LIMIT_INDEX["compute"], lanes].reshape(count, points),
            np.where(np.isfinite(bound), bound, loss).reshape(count, points),
            solved.z[chosen, :, lanes].T.reshape(4, count, points),
        )


def _chosen(leaves: Sequence[np.ndarray], regime: np.ndarray) -> np.ndarray:
    """Of three arrays (…, L, G) each language's own."""
    return np.stack([leaves[k][..., i, :] for i, k in enumerate(regime)], axis=-2)


def _log_marginal(curve: Curve, log_weight: np.ndarray) -> np.ndarray:
    """Log of w·|dL/dC|, nats per FLOP; large where nothing can be trained."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = log_weight[:, None] + curve.log_loss + np.log(curve.slope) - curve.log_compute
    return np.where(np.isfinite(curve.log_loss), np.maximum(value, -1e4), 1e4)


def _bent(log_marginal: np.ndarray, log_price: float) -> np.ndarray:
    """Increasing in a log marginal: itself above a price, the marginal's own multiple below.

    Where more compute stops being of use the marginal goes to zero in a straight line.
    """
    above = log_marginal - log_price
    return np.where(log_marginal > log_price, above, np.expm1(np.minimum(above, 0.0)))


def _relaxed_regimes(curves: Sequence[Curve], weight: np.ndarray, total: float) -> np.ndarray:
    """Regimes of the Lagrangian relaxation over the curves' points, (L,)."""
    losses = np.stack([weight[:, None] * np.exp(c.log_loss) for c in curves], axis=1)
    compute = np.stack([np.exp(c.log_compute) for c in curves], axis=1)  # (L, 3, G)
    count = len(weight)

    def pick(price: float) -> np.ndarray:
        return np.argmin((losses + price * compute).reshape(count, -1), axis=1)

    low, high = np.log(1e-6 / total), np.log(1e6 / total)
    for _ in range(60):
        middle = (low + high) / 2
        spent = compute.reshape(count, -1)[np.arange(count), pick(np.exp(middle))].sum()
        low, high = (middle, high) if spent > total else (low, middle)
    return pick(np.exp(high)) // _POINTS


def _settle(
    curves: _Curves, regime: np.ndarray, curve: Curve, log_weight: np.ndarray, total: float
) -> tuple[Curve, Curve]:
    """The best split with regimes held, leaves (L,), and all points of the refined curves."""
    count = len(regime)
    is_trained = np.isfinite(curve.log_loss)
    # Where the chosen regime begins later than another, its points below are not there.
    start = np.where(is_trained, curve.log_compute, np.inf).min(axis=1)
    high = float(np.median(_log_marginal(curve, log_weight)))
    for _ in range(_ROUNDS):
        log_price = high
        marginal = _bent(_log_marginal(curve, log_weight), log_price)
        falling = np.maximum.accumulate(-marginal, axis=1)
        points = curve.log_compute

        def split(log_price: float, bend: float, x: np.ndarray, falling: np.ndarray) -> np.ndarray:
            """Log compute (L,) at which each language's marginal is the price."""
            sought = -float(_bent(np.array(log_price), bend))
            log_compute = [np.interp(sought, falling[i], x[i]) for i in range(count)]
            return np.maximum(np.array(log_compute), start)

        low, high = -1e3, 1e3
        for _ in range(70):
            middle = (low + high) / 2
            exceeds = np.exp(split(middle, log_price, points, falling)).sum() > total
            low, high = (middle, high) if exceeds else (low, middle)
        log_compute = split(high, log_price, points, falling)
        # What the last halving left goes to all alike, so that the budget is spent.
        log_compute += np.log(total / np.exp(log_compute).sum())
        new = curves.at(regime, np.maximum(log_compute, start)[:, None])
        curve = _merged(curve, new)
        settled = Curve(*(leaf[..., 0] for leaf in new))
        if _price(settled, log_weight, start, curve.log_compute[:, -1])[1] < _TOLERANCE:
            break
    return settled, curve


def _merged(curve: Curve, new: Curve) -> Curve:
    """Two curves' points as one, by compute."""
    order = np.argsort(np.concatenate([curve.log_compute, new.log_compute], axis=1), axis=1)
    return Curve(
        *(
            np.take_along_axis(
                np.concatenate([old, more], axis=-1),
                order if old.ndim == 2 else np.broadcast_to(order, (4, *order.shape)),
                axis=-1,
            )
            for old, more in zip(curve, new, strict=True)
        )
    )


def _price(
    at: Curve, log_weight: np.ndarray, start: np.ndarray, spare: np.ndarray
) -> tuple[float, float]:
    """Price of compute, and the KKT residual."""
    spent, loss = np.exp(at.log_compute), np.exp(log_weight + at.log_loss)
    gain = loss * np.maximum(at.slope, 0.0)  # −w·dL/d(log C)
    inside = (at.log_compute > start + 1e-9) & (at.log_compute < spare - 1e-9)
    if not inside.any():
        return float((gain / spent).max()), 0.0
    price = gain[inside].sum() / spent[inside].sum()
    residual = np.abs(gain - price * spent)[inside].max() / loss.sum()
    return float(price), float(residual)


def _lower_bound(
    coarse: Sequence[Curve], best: _Settled, weight: np.ndarray, total: float
) -> float:
    """Lower bound of the weighted mean loss: the Lagrangian's least value at the price λ.

    For any λ >= 0, Σ w·L(C) >= Σ min_C (w·L(C) + λ·C) − λ·total (weak duality).
    """
    least = np.full(len(weight), np.inf)
    for k, curve in enumerate(coarse):
        # The refined curve stands in for the coarse one of its regime.
        lowest = np.where(best.regime == k, np.inf, _least_lagrangian(curve, weight, best.price))
        least = np.minimum(least, lowest)
    least = np.minimum(least, _least_lagrangian(best.refined, weight, best.price))
    return float(least.sum() - best.price * total)


def _least_lagrangian(curve: Curve, weight: np.ndarray, price: float) -> np.ndarray:
    """Lower bound of w·L(C) + λ·C over a curve, (L,).

    Log loss is convex in log compute, so it lies above its tangents; between two points w·L + λ·C
    is least where one of two tangents, each a power law, or their corner puts it.
    """
    log_w = np.log(weight)[:, None]
    x, y, m = curve.log_compute, curve.floor, np.maximum(curve.slope, 0.0)
    left, right = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        corner = (y[right] - y[left] + m[right] * x[right] - m[left] * x[left]) / (
            m[right] - m[left]
        )
        corner = np.where(np.isfinite(y[left]) & np.isfinite(corner), corner, x[left])
        corner = np.clip(corner, x[left], x[right])
        lowest = np.full(corner.shape, np.inf)
        for side, low, high in ((left, x[left], corner), (right, corner, x[right])):
            at = log_w + y[side] + m[side] * x[side] + np.log(m[side]) - np.log(price)
            at = at / (1 + m[side])
            at = np.clip(np.where(np.isfinite(at), at, low), low, high)
            value = np.exp(log_w + y[side] - m[side] * (at - x[side])) + price * np.exp(at)
            lowest = np.minimum(lowest, np.where(np.isfinite(y[side]), value, np.inf))
    return lowest.min(axis=1)

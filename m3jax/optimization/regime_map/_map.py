"""The regime map: which regime is best over compute and corpus size, and where that changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ..._errors import M3Error
from ..._progress import Progress, silent
from ...fitting import Fits, interval
from ...recipe import MONOLINGUAL, REGIMES, SINGLE_STAGE, TWO_STAGE, Recipe
from ..question import Asked, Limits, amounts, ask, user_task, why_not
from ..solvers import AT, Solved, recipes, solve
from ._corpus import optimal_corpus
from ._crossings import Crossings, crossings, first_best
from ._guidelines import collapse, direct_switch, spread
from ._regimes import Crossing, RegimeMap

# What, when it holds, keeps the epochs from being the best ones for the compute.
_HOLDING = [
    AT[name]
    for name in (
        "lowest epochs", "highest epochs", "lowest n_params", "highest n_params",
        "total_tokens", "source_tokens", "gpu_hours",
    )
]  # fmt: skip
_HELD = 1e-6  # multiplier


class _Members:
    """A language's questions at any size, under the fit (member 0) and its draws.

    Rows are members × budgets: `member`, `compute` and `row` are (M,).
    """

    def __init__(self, fits: Fits, asked: Asked, theta: np.ndarray, compute: np.ndarray) -> None:
        self.fits, self.asked, self.theta = fits, asked, theta
        self.member = np.repeat(np.arange(len(theta)), len(compute))
        self.compute = np.tile(compute, len(theta))
        self.row = np.arange(len(self.member))

    def solve(self, row: np.ndarray, tokens: np.ndarray) -> Solved:
        """The best recipe of each regime for rows and sizes, both (P,)."""
        lanes = np.zeros(len(row), dtype=np.int64)  # all are the first question, but for these:
        question = jax.tree.map(lambda leaf: leaf[..., lanes], self.asked.question)
        question = dataclasses.replace(question, compute=self.compute[row], target_tokens=tokens)
        task, args = user_task(self.fits, self.asked, lanes)
        with jax.enable_x64(True):
            return solve(
                self.fits.law,
                self.theta[self.member[row]].T.copy(),
                question,
                self.asked.regimes[:, lanes],
                ladder=self.asked.limits.ladder,
                task=task,
                args=args,
            )

    def at(self, tokens: np.ndarray) -> Solved:
        """For every row, the sizes (M, T): P = M·T."""
        return self.solve(np.repeat(self.row, tokens.shape[1]), tokens.ravel())

    def log_loss(self, row: np.ndarray, log_tokens: np.ndarray) -> np.ndarray:
        """Of each regime, (3, P)."""
        return self.solve(row, np.exp(log_tokens)).log_loss


def regime_map(
    fits: Fits,
    language: str | None = None,
    *,
    compute: tuple[float, float],
    target_tokens: tuple[float, float],
    budgets: int = 13,
    sizes: int = 33,
    draws: int = 50,
    level: float = 0.9,
    extrapolate: bool = False,
    progress: Progress | None = None,
    **limits: Any,
) -> RegimeMap:
    """Which regime is best over compute and corpus size, and whether two guidelines hold.

    The guidelines are those of arXiv:2410.12325: that with less target text the best recipe goes
    straight from monolingual single-stage to multilingual two-stage, and that the best number of
    epochs is one curve in D_T / D*(C). Both are judged from this fit alone.

    Args:
        fits: fitted laws.
        language: which; may be left out where there is one.
        compute: (lowest, highest) budget 6·N·D, FLOP.
        target_tokens: (lowest, highest) number of unique target tokens.
        budgets, sizes: of the grid, both evenly spaced in the logarithm. Thresholds are found
            between the sizes by bisection, so the grid need only see every region once.
        draws: bootstrap draws to use, at most those in `fits`.
        level: of the thresholds' intervals.
        extrapolate: vary even what the runs say nothing about.
        progress: called as `progress(stage, done, total)`.
        limits: further limits by name, see `Limits`.

    Raises `M3Error` on bad ranges, an unknown language, where no recipe is allowed anywhere, and
    where the law has no monolingual compute-optimal corpus size.
    """
    if language is None and len(fits.languages) != 1:
        raise M3Error(f"regime_map: expected a language, one of {', '.join(fits.languages)}")
    if budgets < 2 or sizes < 2 or draws < 0 or not 0 < level < 1:
        raise M3Error(
            "regime_map: expected budgets >= 2, sizes >= 2, draws >= 0 and 0 < level < 1, got"
            f" {budgets}, {sizes}, {draws} and {level}"
        )
    name = fits.languages[0] if language is None else language
    flops = _between("compute", compute, budgets)
    tokens = _between("target_tokens", target_tokens, sizes)
    asked = ask(
        fits,
        compute=flops,
        target_tokens=tokens,
        languages=[name],
        limits=Limits.of(**limits),
        extrapolate=extrapolate,
    )
    whose = int(asked.index[0])
    n_draws = min(draws, fits.draws.shape[1])
    theta = np.concatenate([fits.theta[whose][None], fits.draws[whose, :n_draws]])
    members = _Members(fits, asked, theta, flops)
    shape = 1 + n_draws, budgets, sizes
    report = progress or silent

    report("mapping", 0, 3)
    grid = members.at(np.tile(tokens, (len(members.row), 1)))
    regime = first_best(grid.log_loss).reshape(shape)
    if not (regime[0] >= 0).any():
        reason = why_not(asked, 0, grid.blame[:, 0], float(grid.beyond[0]))
        raise M3Error(f"language {name!r}: no recipe is allowed anywhere on the map: {reason}")
    report("mapping", 1, 3)
    changes = crossings(members.log_loss, regime.reshape(-1, sizes), np.log(tokens))

    report("mapping", 2, 3)
    optimal = optimal_corpus(fits.law, theta[members.member], members.compute)
    if not np.isfinite(optimal).all():
        raise M3Error(
            f"language {name!r}: law {fits.law.name} as fitted has no compute-optimal corpus size"
        )
    own = optimal.reshape(shape[:2])[0]
    relative = _shared(np.log(tokens), np.log(own), sizes)
    sought = relative * own[:, None]
    log_epochs, free = _epochs(members.at(relative * optimal[:, None]), shape)
    free &= (sought >= tokens[0] * (1 - 1e-9)) & (sought <= tokens[-1] * (1 + 1e-9))
    scaled = [spread(*both) for both in zip(log_epochs, free, strict=True)]
    plain = [spread(*both) for both in zip(*_epochs(grid, shape), strict=True)]
    exponent, expected = _slope(flops, own), _expected(fits, whose)
    report("mapping", 3, 3)

    loss = np.exp(grid.log_loss[:, : budgets * sizes]).reshape(3, budgets, sizes)
    lowest = loss.min(axis=0)
    two = regime[0] == TWO_STAGE
    closest = float((loss[SINGLE_STAGE][two] - lowest[two]).min()) if two.any() else np.inf
    found = _explained(changes, members, tokens, regime[:, :, [0, -1]], level)
    return RegimeMap(
        language=name,
        compute=flops,
        target_tokens=tokens,
        regime=regime[0],
        recipe=_recipes(grid, asked, regime[0]),
        loss=lowest,
        by_regime_loss=np.moveaxis(loss, 0, -1),
        regime_share=np.stack([(regime[1:] == k).mean(axis=0) for k in range(3)], axis=-1)
        if n_draws
        else np.zeros((budgets, sizes, 3)),
        crossings=found,
        slope=_threshold_slope(found),
        optimal_tokens=own,
        exponent=exponent,
        expected_exponent=expected,
        relative_tokens=relative,
        epochs=np.exp(log_epochs[0]),
        free=free[0],
        spread=scaled[0],
        plain_spread=plain[0],
        guidelines=(
            direct_switch(changes, 1 + n_draws, flops, asked.grounds[0].regimes, closest),
            collapse(scaled, plain, exponent, expected),
        ),
        notes=asked.grounds[0].messages,
        n_draws=n_draws,
    )


def _between(name: str, ends: tuple[float, float], count: int) -> np.ndarray:
    values = amounts(name, ends)
    if len(values) != 2 or not values[0] < values[1]:
        raise M3Error(f"{name}: expected LOW < HIGH, got {ends!r}")
    return np.geomspace(values[0], values[1], count)


def _shared(log_sizes: np.ndarray, log_optimal: np.ndarray, count: int) -> np.ndarray:
    """D_T / D* that at least two budgets have on the map, else all there are, (count,)."""
    low = np.sort(log_sizes[0] - log_optimal)
    high = np.sort(log_sizes[-1] - log_optimal)
    ends = (low[1], high[-2]) if low[1] < high[-2] else (low[0], high[-1])
    return np.exp(np.linspace(*ends, count))


def _epochs(solved: Solved, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Best log epochs, and whether they are free: nothing but compute and the ratios holds them."""
    regime = first_best(solved.log_loss)
    lanes = np.arange(len(regime))
    held = (solved.multipliers[regime, :, lanes][:, _HOLDING] > _HELD).any(axis=1)
    log_epochs = solved.z[regime, 1, lanes]
    return log_epochs.reshape(shape), ((regime >= 0) & ~held).reshape(shape)


def _recipes(grid: Solved, asked: Asked, regime: np.ndarray) -> Recipe:
    """Best recipes of the fit, zero where none is allowed."""
    lanes = np.arange(regime.size)
    best = recipes(grid.z[regime.ravel(), :, lanes].T, asked.question, regime.ravel())
    return jax.tree.map(lambda leaf: np.where(regime >= 0, leaf.reshape(regime.shape), 0.0), best)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Exponent of y in x, by least squares in logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _expected(fits: Fits, whose: int) -> float | None:
    """α/(α+β)."""
    names = fits.law.names
    if not {"alpha", "beta"} <= set(names):
        return None
    alpha, beta = (float(fits.theta[whose, names.index(name)]) for name in ("alpha", "beta"))
    return alpha / (alpha + beta) if alpha + beta > 0 else None


def _explained(
    changes: Crossings, members: _Members, tokens: np.ndarray, ends: np.ndarray, level: float
) -> tuple[Crossing, ...]:
    """The fit's own crossings, with what the draws make of each.

    `ends` are the regimes at the smallest and largest size, (members, C, 2).
    """
    budgets, draws = ends.shape[1], len(ends) - 1
    found = []
    for i in np.flatnonzero(changes.row < budgets):
        j, below, above = changes.row[i], changes.below[i], changes.above[i]
        like = (changes.below == below) & (changes.above == above) & (changes.row >= budgets)
        like &= changes.row % budgets == j
        places, seen = [], set()
        for c in np.flatnonzero(like):
            seen.add(changes.row[c] // budgets)
            places.append(changes.log_tokens[c])
        low = high = share = None
        if draws:
            beyond = [b for b in range(1, draws + 1) if b not in seen]
            # All of one regime: the change lies beyond an end of the map.
            places += [np.log(tokens[0]) for b in beyond if (ends[b, j] == above).all()]
            places += [np.log(tokens[-1]) for b in beyond if (ends[b, j] == below).all()]
            share = len(seen) / draws
            if places:
                low, high = (float(end) for end in np.exp(interval(np.array(places), level)))
        loss = np.exp(changes.log_loss[i])
        found.append(
            Crossing(
                compute=float(members.compute[j]),
                target_tokens=float(np.exp(changes.log_tokens[i])),
                below=REGIMES[below],
                above=REGIMES[above],
                margin=float(loss * np.expm1(changes.margin[i])),
                low=low,
                high=high,
                share=share,
            )
        )
    return tuple(found)


def _threshold_slope(found: tuple[Crossing, ...]) -> float | None:
    """Exponent in C of the size above which monolingual is best; the largest at each budget."""
    line = {c.compute: c.target_tokens for c in found if c.above == REGIMES[MONOLINGUAL]}
    if len(line) < 2:
        return None
    return _slope(np.array(list(line)), np.array(list(line.values())))

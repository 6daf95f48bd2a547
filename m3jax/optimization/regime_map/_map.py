"""The regime map: which regime is best over compute and corpus size, and where that changes."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ... import formatting
from ..._errors import M3Error
from ..._progress import Progress, silent
from ...fitting import Fits, interval
from ...laws import Law
from ...options import MapOptions, takes
from ...recipe import MONOLINGUAL, REGIMES, SINGLE_STAGE, TWO_STAGE, Recipe
from ..question import Questions, Standing, ask, summary
from ..solvers import LIMIT_INDEX, RegimeOptima, best_regime
from ._corpus import optimal_corpus
from ._crossings import Crossings, crossings
from ._guidelines import collapse, direct_switch, rms_scatter
from ._regimes import Crossing, RegimeMap

# What, when it holds, keeps the epochs from being the best ones for the compute.
_HOLDING = [
    LIMIT_INDEX[name]
    for name in (
        "lowest epochs", "highest epochs", "lowest n_params", "highest n_params",
        "total_tokens", "source_tokens", "gpu_hours",
    )
]  # fmt: skip
_HELD = 1e-6  # multiplier


@dataclasses.dataclass(frozen=True)
class _Members:
    """A language's questions at any corpus size, under the fit (member 0) and its draws.

    Rows are members × budgets, M·C of them, budgets varying fastest.

    Attributes:
        questions: of the fit, at every budget and size of the map.
        theta: coefficients of each member, (M, p).
        compute: FLOP, (C,).
        tokens: corpus sizes of the map, evenly spaced in the logarithm, (T,).
    """

    questions: Questions
    theta: np.ndarray
    compute: np.ndarray
    tokens: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Indices of the rows, (M·C,)."""
        return np.arange(len(self.theta) * len(self.compute))

    def theta_at(self, rows: np.ndarray) -> np.ndarray:
        """Coefficients (P, p) of rows (P,)."""
        return self.theta[rows // len(self.compute)]

    def compute_at(self, rows: np.ndarray) -> np.ndarray:
        """FLOP (P,) of rows (P,)."""
        return self.compute[rows % len(self.compute)]

    def solve(self, rows: np.ndarray, tokens: np.ndarray, near: np.ndarray) -> RegimeOptima:
        """The best recipe of each regime for rows and corpus sizes, both (P,).

        `near` are optima of much the same questions, z (3, 4, P).
        """
        # All have the limits of the first question.
        first = self.questions.take(np.zeros(len(rows), dtype=np.int64))
        questions = first.replace(compute=self.compute_at(rows)).with_text(tokens)
        return questions.under(self.theta_at(rows)).solve(near=near)

    def solve_grid(self) -> RegimeOptima:
        """For every row, the sizes of the map: P = M·C·T."""
        of_fit, members = self.questions.solve(), len(self.theta)
        if members == 1:
            return of_fit
        sizes = np.tile(self.tokens, (members - 1) * len(self.compute))
        rows = np.repeat(self.rows[len(self.compute) :], len(self.tokens))
        of_draws = self.solve(rows, sizes, np.tile(of_fit.z, members - 1))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), of_fit, of_draws)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The map's members and their optima on its grid, which others are not far from."""

    members: _Members
    optima: RegimeOptima

    def near(self, rows: np.ndarray, log_tokens: np.ndarray) -> RegimeOptima:
        """The best recipe of each regime for rows and corpus sizes, both (P,)."""
        log_sizes = np.log(self.members.tokens)
        step = (log_sizes[-1] - log_sizes[0]) / (len(log_sizes) - 1)
        place = np.round((log_tokens - log_sizes[0]) / step).astype(np.int64)
        place = np.clip(place, 0, len(log_sizes) - 1) + rows * len(log_sizes)
        return self.members.solve(rows, np.exp(log_tokens), self.optima.z[:, :, place])


@takes(MapOptions)
def map_regimes(
    fits: Fits,
    language: str | None = None,
    *,
    options: MapOptions,
    progress: Progress | None = None,
) -> RegimeMap:
    """Which regime is best over compute and corpus size, and whether two guidelines hold.

    The guidelines are those of arXiv:2410.12325: that with less target text the best recipe goes
    straight from monolingual single-stage to multilingual two-stage, and that the best number of
    epochs is one curve in D_T / D*(C). Both are judged from this fit alone. The grid is evenly
    spaced in the logarithm.

    Args:
        fits: fitted laws.
        language: which; may be left out where there is one.
        options: the fields of `MapOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on bad ranges, an unknown language, where no recipe is allowed anywhere, and
    where the law has no monolingual compute-optimal corpus size.
    """
    if language is None and len(fits.languages) != 1:
        raise M3Error(f"map_regimes: expected a language, one of {', '.join(fits.languages)}")
    name = fits.languages[0] if language is None else language
    flops = _spaced("compute", options.compute, options.budgets)
    tokens = _spaced("target_tokens", options.target_tokens, options.sizes)
    questions = ask(
        fits,
        options,
        compute=flops,
        target_tokens=tokens,
        languages=[name],
    )
    n_draws = min(options.draws, fits.draws.shape[1])
    theta = np.concatenate([questions.theta[:1], questions.spread.theta[0, :n_draws]])
    members = _Members(questions, theta, flops, tokens)
    shape = len(theta), len(flops), len(tokens)
    report = progress or silent

    report("mapping", 0, 3)
    grid = members.solve_grid()
    regime = best_regime(grid.log_loss).reshape(shape)
    if not (regime[0] >= 0).any():
        reason = questions.why_not(0, grid)
        raise M3Error(f"language {name!r}: no recipe is allowed anywhere on the map: {reason}")
    report("mapping", 1, 3)
    around = _Grid(members, grid)
    changes = crossings(
        lambda rows, log_tokens: around.near(rows, log_tokens).log_loss,
        regime.reshape(-1, shape[2]),
        np.log(tokens),
    )

    report("mapping", 2, 3)
    optimal = optimal_corpus(
        fits.law, members.theta_at(members.rows), members.compute_at(members.rows)
    )
    if not np.isfinite(optimal).all():
        raise M3Error(
            f"language {name!r}: law {fits.law.name} as fitted has no compute-optimal corpus size"
        )
    own = optimal.reshape(shape[:2])[0]
    relative = _shared_sizes(np.log(tokens), np.log(own), len(tokens))
    # Of the draws' curves against D_T / D*, what lies on the map.
    log_sizes = np.log(relative * optimal[:, None])  # (M·C, T)
    edges = np.log(tokens[[0, -1]]) + np.array([-1e-9, 1e-9])
    inside = (edges[0] <= log_sizes) & (log_sizes <= edges[1])
    row, place = np.nonzero(inside | (members.rows < len(flops))[:, None])
    log_epochs, free = np.zeros(log_sizes.shape), np.zeros(log_sizes.shape, dtype=bool)
    curves = around.near(row, log_sizes[row, place])
    log_epochs[row, place], free[row, place] = _epochs(curves)
    log_epochs, free = log_epochs.reshape(shape), (free & inside).reshape(shape)
    scaled = [rms_scatter(*member) for member in zip(log_epochs, free, strict=True)]
    plain = [
        rms_scatter(*member)
        for member in zip(*(leaf.reshape(shape) for leaf in _epochs(grid)), strict=True)
    ]
    exponent, expected = _exponent(flops, own), _expected_exponent(fits.law, theta[0])
    report("mapping", 3, 3)

    loss = np.exp(grid.log_loss[:, : len(questions)]).reshape(3, *shape[1:])
    lowest = loss.min(axis=0)
    two = regime[0] == TWO_STAGE
    closest = float((loss[SINGLE_STAGE][two] - lowest[two]).min()) if two.any() else np.inf
    of_fit = _crossings_of_fit(changes, flops, tokens, regime[:, :, [0, -1]], options.level)
    ranges = questions.allowed[0]
    recipe = _recipes(questions, grid, regime[0])
    standings = _standings(questions, grid, regime[0], recipe)
    return RegimeMap(
        language=name,
        compute=flops,
        target_tokens=tokens,
        regime=regime[0],
        recipe=recipe,
        standings=standings,
        loss=lowest,
        by_regime_loss=np.moveaxis(loss, 0, -1),
        regime_share=np.stack([(regime[1:] == k).mean(axis=0) for k in range(3)], axis=-1)
        if n_draws
        else np.zeros((*shape[1:], 3)),
        crossings=of_fit,
        slope=_threshold_exponent(of_fit),
        optimal_tokens=own,
        exponent=exponent,
        expected_exponent=expected,
        relative_tokens=relative,
        epochs=np.exp(log_epochs[0]),
        free=free[0],
        spread=scaled[0],
        plain_spread=plain[0],
        guidelines=(
            direct_switch(changes, len(theta), flops, ranges.regimes, closest),
            collapse(scaled, plain, exponent, expected),
        ),
        notes=(
            *questions.grounds[0],
            *ranges.messages,
            *_summary(flops, tokens, standings),
        ),
        n_draws=n_draws,
    )


def _spaced(name: str, ends: tuple[float, float], count: int) -> np.ndarray:
    """Values from one end to the other, evenly spaced in the logarithm, (count,)."""
    if not ends[0] < ends[1]:
        raise M3Error(f"{name}: expected LOW < HIGH, got {ends!r}")
    return np.geomspace(*ends, count)


def _shared_sizes(log_sizes: np.ndarray, log_optimal: np.ndarray, count: int) -> np.ndarray:
    """D_T / D* that at least two budgets have on the map, else all there are, (count,)."""
    low = np.sort(log_sizes[0] - log_optimal)
    high = np.sort(log_sizes[-1] - log_optimal)
    ends = (low[1], high[-2]) if low[1] < high[-2] else (low[0], high[-1])
    return np.exp(np.linspace(*ends, count))


def _epochs(solved: RegimeOptima) -> tuple[np.ndarray, np.ndarray]:
    """Best log epochs (P,), and whether nothing but compute and the ratios holds them.

    Where a part of the text is read the budget has a best corpus, no best number of epochs.
    """
    regime = best_regime(solved.log_loss)
    lanes = np.arange(len(regime))
    held = (solved.multipliers[regime, :, lanes][:, _HOLDING] > _HELD).any(axis=1)
    log_epochs = solved.z[regime, 1, lanes]
    return log_epochs, (regime >= 0) & ~held & (log_epochs >= 0)


def _recipes(questions: Questions, grid: RegimeOptima, regime: np.ndarray) -> Recipe:
    """Best recipes of the fit, the first questions of the grid; zero where none is allowed."""
    best = questions.recipes(grid, regime.ravel())
    return jax.tree.map(lambda leaf: np.where(regime >= 0, leaf.reshape(regime.shape), 0.0), best)


def _standings(
    questions: Questions, grid: RegimeOptima, regime: np.ndarray, recipe: Recipe
) -> dict[tuple[int, int], Standing]:
    """How the fit's recipe stands in each cell where there is one."""
    return {
        (j, t): questions.standing(
            0,
            jax.tree.map(lambda leaf, j=j, t=t: float(leaf[j, t]), recipe),
            grid.multipliers[regime[j, t], :, p],
            float(questions.values.compute[p]),
            float(questions.at_hand[p]),
        )
        for p, (j, t) in enumerate(np.ndindex(*regime.shape))
        if regime[j, t] >= 0
    }


def _summary(
    compute: np.ndarray, tokens: np.ndarray, standings: dict[tuple[int, int], Standing]
) -> tuple[str, ...]:
    """What is to be told of all cells together."""
    return summary(
        {
            f"{formatting.flop(compute[j])} FLOP and {formatting.count(tokens[t])} tokens": standing
            for (j, t), standing in standings.items()
        }
    )


def _exponent(x: np.ndarray, y: np.ndarray) -> float:
    """Exponent of y in x, by least squares in logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _expected_exponent(law: Law, theta: np.ndarray) -> float | None:
    """α/(α+β), for laws with these coefficients; `theta` (p,)."""
    if not {"alpha", "beta"} <= set(law.names):
        return None
    alpha, beta = (float(theta[law.names.index(name)]) for name in ("alpha", "beta"))
    return alpha / (alpha + beta) if alpha + beta > 0 else None


def _crossings_of_fit(
    changes: Crossings, compute: np.ndarray, tokens: np.ndarray, ends: np.ndarray, level: float
) -> tuple[Crossing, ...]:
    """The fit's own crossings, with what the draws make of each.

    `ends` are the regimes at the smallest and largest size, (members, C, 2).
    """
    budgets, draws = ends.shape[1], len(ends) - 1
    crossings_of_fit = []
    for i in np.flatnonzero(changes.row < budgets):
        j, below, above = changes.row[i], changes.below[i], changes.above[i]
        alike = (changes.below == below) & (changes.above == above) & (changes.row >= budgets)
        alike &= changes.row % budgets == j
        log_tokens, members = list(changes.log_tokens[alike]), set(changes.row[alike] // budgets)
        low = high = share = None
        if draws:
            others = [member for member in range(1, draws + 1) if member not in members]
            # All of one regime: the change lies beyond an end of the map.
            log_tokens += [np.log(tokens[0]) for m in others if (ends[m, j] == above).all()]
            log_tokens += [np.log(tokens[-1]) for m in others if (ends[m, j] == below).all()]
            share = len(members) / draws
            if log_tokens:
                low, high = (float(end) for end in np.exp(interval(np.array(log_tokens), level)))
        loss = np.exp(changes.log_loss[i])
        crossings_of_fit.append(
            Crossing(
                compute=float(compute[j]),
                target_tokens=float(np.exp(changes.log_tokens[i])),
                below=REGIMES[below],
                above=REGIMES[above],
                margin=float(loss * np.expm1(changes.margin[i])),
                low=low,
                high=high,
                share=share,
            )
        )
    return tuple(crossings_of_fit)


def _threshold_exponent(crossings_of_fit: tuple[Crossing, ...]) -> float | None:
    """Exponent in C of the size above which monolingual is best; the largest at each budget."""
    line = {
        crossing.compute: crossing.target_tokens
        for crossing in crossings_of_fit
        if crossing.above == REGIMES[MONOLINGUAL]
    }
    if len(line) < 2:
        return None
    return _exponent(np.array(list(line)), np.array(list(line.values())))

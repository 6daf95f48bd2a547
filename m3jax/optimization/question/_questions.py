"""Questions about the best recipe, which solve themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..._progress import Progress, silent
from ...computing import in_double_precision
from ...fitting import Scope, Spread, predict
from ...laws import Law
from ...options import Limits
from ...recipe import REGIMES, Recipe
from ..solvers import NonlinearProgram, Question, RegimeOptima, best_regime, recipes, solve
from ._held_by import limit_in_words, limit_words
from ._infeasible import infeasibility, too_little_text
from ._objectives import point_program, robust_program
from ._ranges import AllowedRanges
from ._standing import Standing

_BLOCK = 1 << 18  # questions × draws solved in one go


@dataclasses.dataclass(frozen=True)
class DrawOptima:
    """The best recipes of P questions under each of B draws.

    Attributes:
        log_loss: by regime, infinite where none is allowed, (3, P, B).
        z: logarithms of n_params, epochs, target_ratio and final_ratio, (3, 4, P, B).
    """

    log_loss: np.ndarray
    z: np.ndarray


@dataclasses.dataclass(frozen=True)
class Questions:
    """P questions about the best recipe, with the fits and limits that answer them.

    Attributes:
        law: that was fitted.
        languages: L names.
        spread: what is drawn of each language's losses, L.
        scopes: what each language's recipes may rest on, see `Fits.grounds`, L.
        grounds: what there is to say of the ground of each language's recipes, L.
        allowed: what each language's recipes may be, L.
        limits: as the user gave them.
        shape: of the batch: (L, C, T) for budgets and corpus sizes, (P,) once lanes were taken.
        language: of each question, an index into `languages`, (P,).
        theta: coefficients that each is asked under, (P, p).
        at_hand: target tokens that there are to read from, (P,); `values` has as many of them as a
            recipe may read.
        values: budgets, corpora, bounds and caps, leaves (P,) or (4, P).
        offered: regimes on offer, (3, P) bool.
    """

    law: Law
    languages: tuple[str, ...]
    spread: Spread
    scopes: tuple[Scope, ...]
    grounds: tuple[tuple[str, ...], ...]
    allowed: tuple[AllowedRanges, ...]
    limits: Limits
    shape: tuple[int, ...]
    language: np.ndarray
    theta: np.ndarray
    at_hand: np.ndarray
    values: Question
    offered: np.ndarray

    def __len__(self) -> int:
        """P."""
        return len(self.language)

    @property
    def has_functions(self) -> bool:
        """Whether limits are given as functions of the recipe."""
        return bool(self.limits.constraints) or self.limits.source_fits is not None

    def take(self, lanes: np.ndarray) -> Questions:
        """Some of the questions, any number of times each: indices (P',)."""
        return dataclasses.replace(
            self,
            shape=lanes.shape,
            language=self.language[lanes],
            theta=self.theta[lanes],
            at_hand=self.at_hand[lanes],
            values=jax.tree.map(lambda leaf: leaf[..., lanes], self.values),
            offered=self.offered[:, lanes],
        )

    def under(self, theta: np.ndarray) -> Questions:
        """The same under other coefficients, (P, p)."""
        return dataclasses.replace(self, theta=theta)

    def replace(self, **values: np.ndarray) -> Questions:
        """The same with other budgets, bounds or caps, by their names in `Question`."""
        return dataclasses.replace(self, values=dataclasses.replace(self.values, **values))

    def with_text(self, at_hand: np.ndarray) -> Questions:
        """The same with other corpora at hand, target tokens (P,).

        A part of one may be read: no more distinct tokens than the allowed range has, nor a larger
        share than an upper end of the epochs below 1, and no fewer than are within reach.
        """
        text, epochs = (
            [allowed.ranges[name] for allowed in self.allowed]
            for name in ("target_tokens", "epochs")
        )
        least, cap = (np.array([getattr(t, e) for t in text]) for e in ("low", "high"))
        fewest, most = (np.array([getattr(k, e) for k in epochs]) for e in ("low", "high"))
        passes = most[self.language]
        read = np.minimum(at_hand * np.minimum(passes, 1.0), cap[self.language])
        low, high = self.values.low.copy(), self.values.high.copy()
        low[1], high[1] = np.maximum(fewest[self.language], 1.0), np.maximum(passes, 1.0)
        values = dataclasses.replace(
            self.values, target_tokens=read, low=low, high=high, least_tokens=least[self.language]
        )
        return dataclasses.replace(self, at_hand=at_hand, values=values)

    def offering(self, regimes: np.ndarray) -> Questions:
        """The same with only these of the regimes on offer, bool of (3, P) or (P,)."""
        return dataclasses.replace(self, offered=self.offered & regimes)

    def solve(
        self,
        *,
        only: Sequence[int] | None = None,
        method: str = "auto",
        certify: bool = False,
        gap: float = 1e-4,
        near: np.ndarray | None = None,
    ) -> RegimeOptima:
        """The best recipe of each regime; arguments and errors are those of `solvers.solve`."""
        return self._solve_program(
            point_program(self.law, self.limits),
            {},
            only=only,
            method=method,
            certify=certify,
            gap=gap,
            near=near,
        )

    def solve_draws(
        self,
        count: int,
        solved: RegimeOptima,
        *,
        method: str = "auto",
        progress: Progress = silent,
    ) -> DrawOptima:
        """The best recipes under each of the first `count` draws, where there is one `solved`."""
        optima = DrawOptima(
            np.full((len(REGIMES), len(self), count), np.inf),
            np.zeros((len(REGIMES), 4, len(self), count)),
        )
        rows = np.flatnonzero(np.isfinite(solved.log_loss).any(axis=0))
        size = max(1, _BLOCK // max(count, 1))
        for start in range(0, len(rows) if count else 0, size):
            progress("optimizing", 1 + count * start // len(rows), 1 + count)
            block = rows[start : start + size]
            theta = self.spread.theta[self.language[block], :count]
            questions = self.take(np.repeat(block, count))
            questions = questions.under(theta.reshape(len(questions), -1))
            near = np.repeat(solved.z[:, :, block], count, axis=2)
            drawn = questions.solve(method=method, near=near)
            shape = len(block), count
            optima.log_loss[:, block] = drawn.log_loss.reshape(len(REGIMES), *shape)
            optima.z[:, :, block] = drawn.z.reshape(len(REGIMES), 4, *shape)
        return optima

    def solve_robust(
        self, objective: str, level: float, optima: DrawOptima, possible: np.ndarray
    ) -> RegimeOptima:
        """The recipes that are best over the draws in `optima`, by one of `options.OBJECTIVES`.

        The best regime goes by the objective. Only that regime has a log loss: the one that `theta`
        predicts for the recipe, not the objective's value. Questions not `possible`, (P,) bool,
        have none.
        """
        best = np.where(possible[:, None], optima.log_loss.min(axis=0), 0.0)
        spread = self.spread.take(self.language, best.shape[1])
        solved = self.offering(possible)._solve_program(
            robust_program(self.law, self.limits, objective, level),
            {
                "drawn": {
                    "theta": spread.theta,
                    "bends": spread.bends,
                    **{
                        side: np.repeat(spread.edges[:, None, i], best.shape[1], axis=1)
                        for i, side in enumerate(("low", "high"))
                    },
                },
                "best": best,
            },
            method="general",
        )
        chosen = best_regime(solved.log_loss)
        log_loss = np.full_like(solved.log_loss, np.inf)
        for regime in range(len(REGIMES)):
            lanes = np.flatnonzero(chosen == regime)
            if not len(lanes):
                continue
            questions = self.take(lanes)
            recipe = recipes(solved.z[regime][:, lanes], questions.values, regime)
            for i, lane in enumerate(lanes):
                one = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], recipe)
                loss = predict(self.law, questions.theta[i][None], one)
                log_loss[regime, lane] = np.log(loss[0, 0])
        return dataclasses.replace(solved, log_loss=log_loss)

    def recipes(self, solved: RegimeOptima, regime: int | np.ndarray) -> Recipe:
        """Recipes of one regime, or of one for each question (P,); leaves (P,)."""
        chosen = np.broadcast_to(regime, len(self))
        z = solved.z[chosen, :, np.arange(len(self))].T
        return recipes(z, self.values, chosen)

    def standing(
        self, language: int, recipe: Recipe, multipliers: np.ndarray, compute: float, at_hand: float
    ) -> Standing:
        """How one recipe of a language stands; arguments are those of `Standing.of`."""
        return Standing.of(
            recipe,
            multipliers,
            compute=compute,
            at_hand=at_hand,
            scope=self.scopes[language],
            allowed=self.allowed[language],
            limits=self.limits,
        )

    def limits_in_words(self, language: int) -> dict[str, str]:
        """What may hold recipes of a language, see `limit_words`."""
        return limit_words(self.allowed[language], self.limits)

    def why_not(self, p: int, solved: RegimeOptima) -> str:
        """Why question p has no allowed recipe: the limits that clash, and by how much."""
        question = jax.tree.map(lambda leaf: leaf[..., p], self.values)
        allowed = self.allowed[self.language[p]]
        least = allowed.ranges["target_tokens"]
        if question.target_tokens < least.low:
            return too_little_text(float(question.target_tokens), least)
        blame, violation = solved.blame[:, p], float(solved.beyond[p])

        def words(name: str) -> str:
            return limit_in_words(name, allowed, self.limits)

        return infeasibility(question, self.offered[:, p], blame, violation, words)

    def _solve_program(
        self, program: NonlinearProgram | None, args: dict[str, Any], **how: Any
    ) -> RegimeOptima:
        """Solve with an objective or constraints given as functions, or without (None).

        `args` are the objective's, leaves with P first; those of constraints are added.
        """
        source = self.limits.source_fits
        if source is not None:
            rows = np.array([source.index(name) for name in self.languages])
            args = args | {
                "source": source.theta[rows[self.language]],
                "most": np.full(len(self), np.log(self.limits.max_source_loss or np.nan)),
            }
        with in_double_precision():
            return solve(
                self.law,
                self.theta.T.copy(),
                self.values,
                self.offered,
                ladder=self.limits.ladder,
                program=program,
                args=args,
                **how,
            )

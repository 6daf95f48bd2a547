"""Objectives over draws of the coefficients, from each draw's own log loss and its derivatives.

With f_b the log loss under draw b, L_b = e^{f_b} and weights w_b that sum to one,

    mean      log mean_b L_b,       gradient Σ w ∇f, Hessian Σ w (∇²f + ∇f ∇fᵀ) − ∇ ∇ᵀ, w ∝ L_b
    mean_log  mean_b f_b,           all w alike
    quantile  a quantile of f_b,    w those of the two draws that it lies between
    regret    s·log Σ_b e^{(L_b − best_b)/s}, the largest of L_b − best_b, smoothed

Draws are the first axis, of values (B, L), gradients (B, d, L) and Hessians (B, d, d, L).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_SMOOTHING = 1e-4  # s, nats


class Drawn(NamedTuple):
    """Log losses under each draw, and derivatives as far as they were asked for."""

    value: np.ndarray
    gradient: Any
    hessian: Any

    def combined(self, objective: str, level: float, best: np.ndarray) -> Drawn:
        """The objective, without the first axis; `best` (B, L) are the draws' lowest log losses."""
        if objective == "quantile":
            return self._quantile(level)
        if objective == "mean":
            return _log_mean_exp(self)
        if objective == "mean_log":
            return self._each(lambda leaf: leaf.mean(axis=0))
        loss = np.exp(self.value)
        regrets = Drawn(
            loss - np.exp(best),
            None if self.gradient is None else loss[:, None] * self.gradient,
            None
            if self.hessian is None
            else loss[:, None, None] * (self.hessian + _square(self.gradient)),
        )
        found = _log_mean_exp(regrets._each(lambda leaf: leaf / _SMOOTHING))
        found = found._replace(value=found.value + np.log(len(loss)))
        return found._each(lambda leaf: leaf * _SMOOTHING)

    def _each(self, function: Callable[[np.ndarray], np.ndarray]) -> Drawn:
        """A linear function of all that is there."""
        value, gradient, hessian = (None if leaf is None else function(leaf) for leaf in self)
        assert value is not None
        return Drawn(value, gradient, hessian)

    def _quantile(self, level: float) -> Drawn:
        order = np.argsort(self.value, axis=0)
        place = level * (len(order) - 1)
        low = int(np.floor(place))
        high, share = min(low + 1, len(order) - 1), place - low
        lanes = np.arange(self.value.shape[1])

        def between(leaf: np.ndarray) -> np.ndarray:
            # Two leading axes, draws and lanes, are picked from; lanes are last again afterwards.
            ends = (np.moveaxis(leaf, -1, 1)[order[end], lanes] for end in (low, high))
            first, second = (np.moveaxis(end, 0, -1) for end in ends)
            return np.asarray((1 - share) * first + share * second)

        return self._each(between)


def _log_mean_exp(drawn: Drawn) -> Drawn:
    """log mean_b e^{f_b} and its derivatives."""
    most = drawn.value.max(axis=0)
    weight = np.exp(drawn.value - most)
    total = weight.sum(axis=0)
    value = most + np.log(total / len(weight))
    weight = weight / total
    gradient: Any = None
    hessian: Any = None
    if drawn.gradient is not None:
        gradient = np.einsum("bl,bdl->dl", weight, drawn.gradient)
    if drawn.hessian is not None:
        inner = drawn.hessian + _square(drawn.gradient)
        hessian = np.einsum("bl,bijl->ijl", weight, inner) - gradient[:, None] * gradient
    return Drawn(value, gradient, hessian)


def _square(gradient: np.ndarray) -> np.ndarray:
    return gradient[:, :, None] * gradient[:, None]

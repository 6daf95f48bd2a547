"""Objectives over draws of the coefficients, from each draw's own log loss and its derivatives.

With f_b the log loss under draw b, L_b = e^{f_b} and w_b weights that sum to one,

    mean      log mean_b L_b,            gradient Σ w ∇f, Hessian Σ w (∇²f + ∇f ∇fᵀ) − ∇ ∇ᵀ, w ∝ L_b
    mean_log  mean_b f_b,                w equal
    quantile  the quantile of f_b,       w those of the two draws that it lies between
    regret    s · log Σ_b e^{(L_b − best_b)/s}, the largest of L_b − best_b, smoothed; w ∝ e^{(L_b − best_b)/s}

Draws are the first axis, of values (B, L), gradients (B, d, L) and Hessians (B, d, d, L).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_SMOOTHING = 1e-4  # s, nats


class Drawn(NamedTuple):
    """Log losses under each draw, and derivatives as far as they were asked for."""

    value: np.ndarray
    gradient: Any
    hessian: Any

    def combined(self, objective: str, level: float, best: np.ndarray) -> Drawn:
        """The objective, without the first axis; `best` (B, L) are each draw's lowest log losses."""
        if objective == "quantile":
            return self._quantile(level)
        if objective == "mean":
            return _log_mean_exp(self)
        if objective == "mean_log":
            return Drawn(*(None if leaf is None else leaf.mean(axis=0) for leaf in self))
        loss = np.exp(self.value)
        regret, slope, bend = loss - np.exp(best), None, None
        if self.gradient is not None:
            slope = loss[:, None] * self.gradient
        if self.hessian is not None:
            bend = loss[:, None, None] * (self.hessian + _square(self.gradient))
        scaled = Drawn(*(None if x is None else x / _SMOOTHING for x in (regret, slope, bend)))
        found = _log_mean_exp(scaled)
        found = found._replace(value=found.value + np.log(len(loss)))
        return Drawn(*(None if x is None else x * _SMOOTHING for x in found))

    def _quantile(self, level: float) -> Drawn:
        order = np.argsort(self.value, axis=0)
        place = level * (len(order) - 1)
        low = int(np.floor(place))
        high, share = min(low + 1, len(order) - 1), place - low
        lanes = np.arange(self.value.shape[1])

        def between(leaf: Any) -> Any:
            if leaf is None:
                return None
            ends = (np.moveaxis(leaf, -1, 1)[order[end], lanes] for end in (low, high))
            first, second = (np.moveaxis(end, 0, -1) for end in ends)
            return (1 - share) * first + share * second

        return Drawn(*map(between, self))


def _log_mean_exp(drawn: Drawn) -> Drawn:
    """log mean_b e^{f_b} and its derivatives."""
    most = drawn.value.max(axis=0)
    weight = np.exp(drawn.value - most)
    total = weight.sum(axis=0)
    value = most + np.log(total / len(weight))
    weight = weight / total
    gradient = hessian = None
    if drawn.gradient is not None:
        gradient = np.einsum("bl,bdl->dl", weight, drawn.gradient)
    if drawn.hessian is not None:
        inner = drawn.hessian + _square(drawn.gradient)
        hessian = np.einsum("bl,bijl->ijl", weight, inner) - gradient[:, None] * gradient
    return Drawn(value, gradient, hessian)


def _square(gradient: np.ndarray) -> np.ndarray:
    return gradient[:, :, None] * gradient[:, None]

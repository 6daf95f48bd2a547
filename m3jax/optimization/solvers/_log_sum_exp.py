"""Log loss as log-sum-exp of terms that are affine in u, some bent: value, gradient and Hessian.

    f(u) = log Σ_j exp(x_j),   x_j = a_j + b_j·u + Σ_i s_ij·φ_i(k, r)
    ∇f = Σ_j p_j ∇x_j,   p_j = exp(x_j − f)
    ∇²f = Σ_j p_j (∇x_j − ∇f)(∇x_j − ∇f)ᵀ + Σ_ij p_j s_ij ∇²φ_i

where φ is log ρ(k; R) (repetition) or log(1 + τ·k·(1/r − 1)) (text); where a part of the text is
read k is held in both. Without φ this is a geometric
program in convex form (Boyd et al. 2007, "A tutorial on geometric programming").

Written out for the batch in the last axis. `m3` has two bending features, repetition and text; laws
without any are posynomials, whose log loss is convex in u.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from ...computing import array_namespace
from ...laws import Law, LogSpaceLaw
from ...recipe import MONOLINGUAL, SINGLE_STAGE, Array
from ._recipe_problem import RecipeProblem

_PLAIN = {  # log-feature -> coefficients of (n, k, r, f, log D_T), the text being what is read
    "n_params": (1, 0, 0, 0, 0),
    "epochs": (0, 1, 0, 0, 0),
    "target_ratio": (0, 0, 1, 0, 0),
    "final_ratio": (0, 0, 0, 1, 0),
    "target_tokens": (0, 0, 0, 0, 1),
    "total_tokens": (0, 1, -1, 0, 1),
    # The affine part of what bends: text is D_T times something.
    "repetition": (0, 0, 0, 0, 0),
    "text": (0, 0, 0, 0, 1),
}
_BENDS = {"repetition": "R", "text": "tau"}  # bending feature -> its shape coefficient


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogSumExp:
    """J terms in d variables for P problems.

    Attributes:
        constant: (J, P).
        slope: (J, d, P).
        strength: of each bend, (number of bends, P).
        shape: log shape coefficient of each bend, (number of bends, P).
        epochs: log epochs over what is read where that is a part of the text, (P,).
        in_part: where it is, (P,) bool.
        bends: (term, feature) of each bend.
        regime: which face u lives on.
    """

    constant: Array
    slope: Array
    strength: Array
    shape: Array
    epochs: Array
    in_part: Array
    bends: tuple[tuple[int, str], ...] = dataclasses.field(metadata={"static": True})
    regime: int = dataclasses.field(metadata={"static": True})

    def log_epochs(self, k: Array) -> Array:
        """Log of the epochs over what is read at u[1] = k."""
        xp = array_namespace(self.epochs, k)
        return xp.where(self.in_part, self.epochs, k)


def has_terms(law: Law) -> bool:
    """Whether `terms` can write this law down."""
    if not isinstance(law, LogSpaceLaw) or law.shapes is None:
        return False
    return all(_BENDS.get(feature) == shape for feature, shape in law.shapes.items()) and all(
        feature in _PLAIN and (feature in law.shapes or feature not in _BENDS)
        for powers in law.terms.values()
        for _, feature in powers.values()
    )


def is_posynomial(law: Law) -> bool:
    """Whether the log loss is convex in log-variables whatever the coefficients."""
    return has_terms(law) and isinstance(law, LogSpaceLaw) and not law.shapes


def as_log_sum_exp(law: Law, theta: Array, problem: RecipeProblem) -> LogSumExp:
    """The terms of a law with `theta` (p, P) on the face of the problems."""
    xp = array_namespace(theta, problem.low)
    assert isinstance(law, LogSpaceLaw)
    assert law.shapes is not None
    named = dict(zip(law.names, theta, strict=True))
    in_part, epochs = problem.in_part, xp.maximum(problem.log_fewest, 0.0)
    constants, slopes, strengths, shapes, bends = [], [], [], [], []
    for j, (amplitude, powers) in enumerate(law.terms.items()):
        z = [xp.zeros_like(theta[0]) for _ in range(5)]
        for exponent, (sign, feature) in powers.items():
            strength = sign * named[exponent]
            if feature in law.shapes:
                bends.append((j, feature))
                strengths.append(strength)
                shapes.append(named[law.shapes[feature]])
            z = [x + strength * c if c else x for x, c in zip(z, _PLAIN[feature], strict=True)]
        n, k, r, f, t = z
        # What u[1] moves is either how often the text is read or how much of it.
        held = xp.where(in_part, (k - t) * epochs, 0.0)
        constants.append(named[amplitude] + t * problem.log_tokens + held)
        k = xp.where(in_part, t, k)
        if problem.regime == MONOLINGUAL:
            slopes.append([n, k])
        elif problem.regime == SINGLE_STAGE:
            slopes.append([n, k, r + f])
        else:
            slopes.append([n, k, r + f * problem.tilt, f])
    empty = xp.zeros((0, *theta.shape[1:]), theta.dtype)
    return LogSumExp(
        xp.stack(constants),
        xp.stack([xp.stack(slope) for slope in slopes]),
        xp.stack(strengths) if bends else empty,
        xp.stack(shapes) if bends else empty,
        epochs,
        in_part,
        tuple(bends),
        problem.regime,
    )


def computed_once(arrays: Any) -> Any:
    """The same arrays, each computed once: XLA would recompute them in every fusion they feed.

    The first of them tells whether it is XLA that computes.
    """
    first = arrays
    while isinstance(first, tuple | list | dict) and first:
        first = next(iter(first.values() if isinstance(first, dict) else first))
    return jax.lax.optimization_barrier(arrays) if isinstance(first, jax.Array) else arrays


Derivatives = tuple[Array, Array, Array, Array, Array, Array]


def log_repetition_derivatives(k: Array, log_scale: Array) -> Derivatives:
    """log ρ(k; R) and its derivatives in (k, r): value, k, r, kk, kr, rr. See `laws.m3`."""
    xp = array_namespace(k, log_scale)
    zero = xp.zeros_like(k)
    epochs, scale = computed_once((xp.exp(k), xp.exp(log_scale)))
    beyond = xp.maximum(xp.expm1(k), 0.0)
    lost = computed_once(-xp.expm1(-beyond / scale))
    worn = 1.0 + scale * lost
    slope = computed_once(epochs * (1.0 - lost) / worn)
    above = k > 0
    return (
        xp.where(above, xp.log(worn), k),
        xp.where(above, slope, 1.0),
        zero,
        xp.where(above, slope * (1.0 - epochs / scale - slope), 0.0),
        zero,
        zero,
    )


def log_text_derivatives(k: Array, r: Array, log_discount: Array) -> Derivatives:
    """log(1 + τ·k·(1/r − 1)), text in units of D_T, and its derivatives as in `repetition`."""
    xp = array_namespace(k, r, log_discount)
    a = xp.exp(log_discount + k)
    a, w = computed_once((a, a * xp.expm1(-r)))
    whole = 1.0 + w
    h, j = computed_once((w / whole, (a + w) / whole))
    return xp.log1p(w), h, -j, h * (1.0 - h), -j / whole, j * (1.0 - a) / whole


def log_sum_exp(terms: LogSumExp, u: Sequence[Array]) -> Array:
    """Log loss at u, d arrays (P,)."""
    logs = _logs(terms, u, [_bent(terms, i, u)[0] for i in range(len(terms.bends))])
    return _sum(logs)[0]


def _bent(terms: LogSumExp, i: int, u: Sequence[Array]) -> Derivatives:
    xp = array_namespace(u[1], terms.shape)
    shape = terms.shape[i]
    k = terms.log_epochs(u[1])
    if terms.bends[i][1] == "repetition":
        bent = log_repetition_derivatives(k, shape)
    elif terms.regime == MONOLINGUAL:
        return (xp.zeros_like(k),) * 6  # no source text
    else:
        bent = log_text_derivatives(k, u[2], shape)
    value, in_k, in_r, kk, kr, rr = bent
    in_k, kk, kr = (xp.where(terms.in_part, 0.0, slope) for slope in (in_k, kk, kr))
    return value, in_k, in_r, kk, kr, rr


def _logs(terms: LogSumExp, u: Sequence[Array], bent: Sequence[Array]) -> list[Array]:
    logs = []
    for j in range(terms.constant.shape[0]):
        log_term = terms.constant[j]
        for i, x in enumerate(u):
            log_term = log_term + terms.slope[j, i] * x
        logs.append(log_term)
    for i, (j, _) in enumerate(terms.bends):
        logs[j] = logs[j] + terms.strength[i] * bent[i]
    return computed_once(logs)


def _sum(logs: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Log of the sum of exponentials, and the share of each."""
    xp = array_namespace(logs[0])
    top = logs[0]
    for log_term in logs[1:]:
        top = xp.maximum(top, log_term)
    sizes = computed_once([xp.exp(log_term - top) for log_term in logs])
    total = sum(sizes[1:], start=sizes[0])
    inverse = computed_once(1.0 / total)
    return top + xp.log(total), [size * inverse for size in sizes]


def derivatives(
    terms: LogSumExp, u: Sequence[Array]
) -> tuple[Array, list[Array], dict[tuple[int, int], Array]]:
    """Log loss, its gradient (d arrays) and Hessian (by (i, j) with i >= j) at u."""
    d, count = len(u), terms.constant.shape[0]
    bent = computed_once([_bent(terms, i, u) for i in range(len(terms.bends))])
    loss, shares = computed_once(_sum(_logs(terms, u, [b[0] for b in bent])))
    slopes = [[terms.slope[j, i] for i in range(d)] for j in range(count)]
    for i, (j, feature) in enumerate(terms.bends):
        strength = terms.strength[i]
        slopes[j][1] = slopes[j][1] + strength * bent[i][1]
        if feature == "text" and d > 2:
            slopes[j][2] = slopes[j][2] + strength * bent[i][2]
    slopes = computed_once(slopes)
    gradient = [
        sum((shares[j] * slopes[j][i] for j in range(1, count)), start=shares[0] * slopes[0][i])
        for i in range(d)
    ]
    gradient = computed_once(gradient)
    centred = [[slopes[j][i] - gradient[i] for i in range(d)] for j in range(count)]
    centred = computed_once(centred)
    weighted = [[shares[j] * c for c in centred[j]] for j in range(count)]
    hessian = {
        (a, b): sum(
            (weighted[j][a] * centred[j][b] for j in range(1, count)),
            start=weighted[0][a] * centred[0][b],
        )
        for a in range(d)
        for b in range(a + 1)
    }
    for i, (j, feature) in enumerate(terms.bends):
        weight = shares[j] * terms.strength[i]
        hessian[1, 1] = hessian[1, 1] + weight * bent[i][3]
        if feature == "text" and d > 2:
            hessian[2, 1] = hessian[2, 1] + weight * bent[i][4]
            hessian[2, 2] = hessian[2, 2] + weight * bent[i][5]
    return loss, gradient, hessian

"""Log loss as log-sum-exp of terms that are affine in u, some bent: value, gradient and Hessian.

    f(u) = log Σ_j exp(y_j),   y_j = x_j, or log log(1 + e^{x_j}) of a term that dilutes,
    x_j = a_j + b_j·u + Σ_i s_ij·φ_i
    ∇f = Σ_j p_j ∇y_j,   p_j = exp(y_j − f),   ∇y_j = g_j ∇x_j
    ∇²f = Σ_j p_j (∇y_j − ∇f)(∇y_j − ∇f)ᵀ + Σ_j p_j h_j ∇x_j ∇x_jᵀ + Σ_ij p_j g_j s_ij ∇²φ_i

with g and h the derivatives of y in x, 1 and 0 of terms that are what they are. φ is log ρ(k; R)
(repetition) or log(1 + τ·k·(1/r − 1)) (text); where a part of the text is read k is held in both.
Or it is a function of the stage t = log(r_f / r), which is 0 with one: t·(1 − e^(−s/s₀)) (what a
final ratio counts) or log s (the stage's share). Without φ and dilution this is a geometric
program in convex form (Boyd et al. 2007, "A tutorial on geometric programming").

Written out for the batch in the last axis. Laws without φ and dilution are posynomials, whose log
loss is convex in u.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from ...computing import array_namespace
from ...laws import Law, LogSpaceLaw
from ...laws.m3 import STAGE_SCALE
from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array
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
    "counted_ratio": (0, 0, 1, 0, 0),
    "stage_fraction": (0, 0, 0, 0, 0),
}
_SHAPED = {"repetition": "R", "text": "tau"}  # bending feature -> its shape coefficient
SMALL = -30.0  # log x, below which log(1 + x) is x
STAGED = ("counted_ratio", "stage_fraction")  # features that the stage bends


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogSumExp:
    """J terms in d variables for P problems.

    Attributes:
        constant: (J, P).
        slope: (J, d, P).
        strength: of each bend, (number of bends, P).
        shape: log shape coefficient of each bend, where it has one, (number of bends, P).
        epochs: log epochs over what is read where that is a part of the text, (P,).
        in_part: where it is, (P,) bool.
        tilt, first_share: of the `RecipeProblem`, (P,).
        bends: (term, feature) of each bend.
        diluting: which terms dilute.
        regime: which face u lives on.
    """

    constant: Array
    slope: Array
    strength: Array
    shape: Array
    epochs: Array
    in_part: Array
    tilt: Array
    first_share: Array
    bends: tuple[tuple[int, str], ...] = dataclasses.field(metadata={"static": True})
    diluting: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    regime: int = dataclasses.field(metadata={"static": True})

    def log_epochs(self, k: Array) -> Array:
        """Log of the epochs over what is read at u[1] = k."""
        xp = array_namespace(self.epochs, k)
        return xp.where(self.in_part, self.epochs, k)

    def stage(self, u: Sequence[Array]) -> Array:
        """log(r_f / r) of a two-stage recipe."""
        return u[3] + (self.tilt - 1.0) * u[2]


def has_terms(law: Law) -> bool:
    """Whether `terms` can write this law down."""
    if not isinstance(law, LogSpaceLaw) or law.shapes is None:
        return False
    return all(_SHAPED.get(feature) == shape for feature, shape in law.shapes.items()) and all(
        feature in _PLAIN and (feature in law.shapes or feature not in _SHAPED)
        for feature in _features_in(law)
    )


def _features_in(law: LogSpaceLaw) -> set[str]:
    return {feature for powers in law.terms.values() for _, feature in powers.values()}


def is_posynomial(law: Law) -> bool:
    """Whether the log loss is convex in log-variables whatever the coefficients."""
    if not isinstance(law, LogSpaceLaw) or not has_terms(law):
        return False
    return not (law.shapes or law.diluting or _features_in(law).intersection(STAGED))


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
            if feature in law.shapes or (feature in STAGED and problem.regime == TWO_STAGE):
                bends.append((j, feature))
                strengths.append(strength)
                shape = law.shapes.get(feature)
                shapes.append(named[shape] if shape else xp.zeros_like(strength))
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
        problem.tilt,
        problem.first_share,
        tuple(bends),
        tuple(j for j, name in enumerate(law.terms) if name in law.diluting),
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


def log_repetition_derivatives(k: Array, log_scale: Array) -> tuple[Array, Array, Array]:
    """log ρ(k; R) and its derivatives in k: value, k, kk. See `laws.m3`."""
    xp = array_namespace(k, log_scale)
    epochs, scale = computed_once((xp.exp(k), xp.exp(log_scale)))
    beyond = xp.maximum(xp.expm1(k), 0.0)
    lost = computed_once(-xp.expm1(-beyond / scale))
    worn = 1.0 + scale * lost
    slope = computed_once(epochs * (1.0 - lost) / worn)
    above = k > 0
    return (
        xp.where(above, xp.log(worn), k),
        xp.where(above, slope, 1.0),
        xp.where(above, slope * (1.0 - epochs / scale - slope), 0.0),
    )


def log_text_derivatives(
    k: Array, r: Array, log_discount: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """log(1 + τ·k·(1/r − 1)), text in units of D_T: value, and derivatives k, r, kk, kr, rr."""
    xp = array_namespace(k, r, log_discount)
    a = xp.exp(log_discount + k)
    a, w = computed_once((a, a * xp.expm1(-r)))
    whole = 1.0 + w
    h, j = computed_once((w / whole, (a + w) / whole))
    return xp.log1p(w), h, -j, h * (1.0 - h), -j / whole, j * (1.0 - a) / whole


def stage_derivatives(feature: str, stage: Array, share: Array) -> tuple[Array, Array, Array]:
    """A feature of the stage t = log(r_f / r), with r_1 = `share`·r: value, t, tt.

    s = (1 − φ)/(e^t − φ) has s' = −s·ρ and ρ' = −(ρ − 1)·ρ, where ρ = 1 + s·φ/(1 − φ).
    """
    xp = array_namespace(stage, share)
    fraction, rate = _fraction(stage, share)
    if feature == "stage_fraction":
        return xp.log(fraction), -rate, rate * (rate - 1.0)
    q = fraction / STAGE_SCALE
    left = xp.exp(-q)
    slope = -q * rate * left
    return (
        -stage * xp.expm1(-q),
        stage * slope - xp.expm1(-q),
        q * rate * left * (stage * (2.0 * rate - 1.0 - q * rate) - 2.0),
    )


def stage_curvature_bounds(
    feature: str, low: Array, high: Array, share: Array
) -> tuple[Array, Array]:
    """Bounds of the second derivative of a feature of the stage between `low` and `high`.

    By intervals: s and ρ fall with t, and q·e^(−q) has its maximum at q = 1.
    """
    most, fast = _fraction(low, share)
    least, slow = _fraction(high, share)
    xp = array_namespace(most)
    if feature == "stage_fraction":
        return slow * (slow - 1.0), fast * (fast - 1.0)
    top, bottom = most / STAGE_SCALE, least / STAGE_SCALE
    size = [q * xp.exp(-q) for q in (xp.clip(1.0, bottom, top), bottom, top)]
    factors = xp.minimum(size[1], size[2]) * slow, size[0] * fast
    inner = 2.0 * slow - 1.0 - top * fast, 2.0 * fast - 1.0 - bottom * slow
    # t >= 0 times the inner bracket, then what is in front of it.
    lowest = xp.minimum(low * inner[0], high * inner[0]) - 2.0
    highest = xp.maximum(low * inner[1], high * inner[1]) - 2.0
    return (
        xp.minimum(lowest * factors[0], lowest * factors[1]),
        xp.maximum(highest * factors[0], highest * factors[1]),
    )


def _fraction(stage: Array, share: Array) -> tuple[Array, Array]:
    """s and ρ of `stage_derivatives`. All of the text before the final stage is none: one stage."""
    xp = array_namespace(stage, share)
    share = xp.where(share < 1.0, share, 0.0)
    rest = 1.0 - share
    fraction = rest / (xp.expm1(stage) + rest)
    return fraction, 1.0 + fraction * share / rest


def log_sum_exp(terms: LogSumExp, u: Sequence[Array]) -> Array:
    """Log loss at u, d arrays (P,)."""
    logs = _logs(terms, u, _bends(terms, u))
    return _sum([_counted(terms, j, log_term).value for j, log_term in enumerate(logs)])[0]


class _Bent(NamedTuple):
    """A bend at u: its value, gradient and Hessian, entries that are not there being zero."""

    value: Array
    gradient: dict[int, Array]
    hessian: dict[tuple[int, int], Array]


def _bends(terms: LogSumExp, u: Sequence[Array]) -> dict[str, _Bent]:
    """By feature: whatever the term, it bends alike."""
    shapes = {feature: terms.shape[i] for i, (_, feature) in enumerate(terms.bends)}
    bends = {feature: _bent(terms, feature, shape, u) for feature, shape in shapes.items()}
    return computed_once(bends) if bends else {}


def _bent(terms: LogSumExp, feature: str, shape: Array, u: Sequence[Array]) -> _Bent:
    xp = array_namespace(u[1], shape)
    if feature in STAGED:
        # The stage is u[3] + (tilt − 1)·u[2].
        value, slope, bend = stage_derivatives(feature, terms.stage(u), terms.first_share)
        in_r = terms.tilt - 1.0
        across = bend * in_r
        return _Bent(
            value,
            {2: slope * in_r, 3: slope},
            {(2, 2): across * in_r, (3, 2): across, (3, 3): bend},
        )
    k = terms.log_epochs(u[1])
    if feature == "text" and terms.regime == MONOLINGUAL:
        return _Bent(xp.zeros_like(k), {}, {})  # no source text
    if feature == "repetition":
        value, in_k, kk = log_repetition_derivatives(k, shape)
        return _Bent(
            value,
            {1: xp.where(terms.in_part, 0.0, in_k)},
            {(1, 1): xp.where(terms.in_part, 0.0, kk)},
        )
    value, in_k, in_r, kk, kr, rr = log_text_derivatives(k, u[2], shape)
    in_k, kk, kr = (xp.where(terms.in_part, 0.0, slope) for slope in (in_k, kk, kr))
    return _Bent(value, {1: in_k, 2: in_r}, {(1, 1): kk, (2, 1): kr, (2, 2): rr})


class _Counted(NamedTuple):
    """What a term adds to the loss, in logarithms: y of x, and its derivatives g and h."""

    value: Array
    slope: Array
    bend: Array


def _counted(terms: LogSumExp, j: int, log_term: Array) -> _Counted:
    xp = array_namespace(log_term)
    if j not in terms.diluting:
        return _Counted(log_term, xp.ones_like(log_term), xp.zeros_like(log_term))
    at = xp.maximum(log_term, SMALL)  # below, log(1 + x) is x
    cost = xp.maximum(at, 0.0) + xp.log1p(xp.exp(-xp.abs(at)))
    share = 1.0 / (1.0 + xp.exp(-at))
    slope = share / cost
    return _Counted(xp.log(cost) + (log_term - at), slope, slope * (1.0 - share) - slope * slope)


def _logs(terms: LogSumExp, u: Sequence[Array], bends: Mapping[str, _Bent]) -> list[Array]:
    logs = []
    for j in range(terms.constant.shape[0]):
        log_term = terms.constant[j]
        for i, x in enumerate(u):
            log_term = log_term + terms.slope[j, i] * x
        logs.append(log_term)
    for i, (j, feature) in enumerate(terms.bends):
        logs[j] = logs[j] + terms.strength[i] * bends[feature].value
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
    bends = _bends(terms, u)
    logs = _logs(terms, u, bends)
    counted = computed_once([_counted(terms, j, log_term) for j, log_term in enumerate(logs)])
    loss, shares = computed_once(_sum([y.value for y in counted]))
    slopes = [[terms.slope[j, i] for i in range(d)] for j in range(count)]
    for i, (j, feature) in enumerate(terms.bends):
        for a, slope in bends[feature].gradient.items():
            slopes[j][a] = slopes[j][a] + terms.strength[i] * slope
    slopes = computed_once(slopes)
    own = {j: slopes[j] for j in terms.diluting}  # ∇x; slopes are ∇y from here on
    for j in terms.diluting:
        slopes[j] = computed_once([counted[j].slope * slope for slope in own[j]])
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
    for j in terms.diluting:
        weight = shares[j] * counted[j].bend
        for a in range(d):
            for b in range(a + 1):
                hessian[a, b] = hessian[a, b] + weight * own[j][a] * own[j][b]
    weights: dict[str, Array] = {}
    for i, (j, feature) in enumerate(terms.bends):
        weight = shares[j] * terms.strength[i]
        if j in terms.diluting:
            weight = weight * counted[j].slope
        weights[feature] = weights[feature] + weight if feature in weights else weight
    for feature, weight in weights.items():
        for at, bend in bends[feature].hessian.items():
            hessian[at] = hessian[at] + weight * bend
    return loss, gradient, hessian

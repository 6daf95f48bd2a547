"""Random questions about the best recipe, and the same with one thing wider."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from m3jax.laws import Law
from m3jax.optimization.solvers import Question, solve

WIDER = (
    "compute",
    "target_tokens",
    "source_tokens",
    "total_tokens",
    "gpu_flops",
    "first_ratio",
    "least_tokens",
    "stage_low",
    "stage_high",
    *(("low", i) for i in range(4)),
    *(("high", i) for i in range(4)),
)


def random_theta(law: Law, count: int, rng: np.random.Generator) -> np.ndarray:
    """Coefficients anywhere in the ranges that fits start from, (count, p)."""
    low, high = law.theta_start()
    return rng.uniform(low, high, (count, len(low)))


def random_questions(count: int, rng: np.random.Generator) -> Question:
    """Questions with any limits, each there in some; leaves (count,) or (4, count)."""

    def log_uniform(low: float, high: float) -> np.ndarray:
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    def sometimes(values: np.ndarray, absent: float) -> np.ndarray:
        return np.where(rng.random(count) < 0.3, values, absent)

    compute, text = log_uniform(1e17, 1e24), log_uniform(1e6, 1e13)
    least_size, fewest, ratio = log_uniform(1e6, 1e8), log_uniform(0.1, 4.0), log_uniform(0.01, 0.5)
    low = np.stack([least_size, np.where(rng.random(count) < 0.7, 1.0, fewest), ratio, ratio])
    high = np.stack(
        [
            least_size * log_uniform(1.0, 1e6),
            np.maximum(low[1], log_uniform(0.5, 64.0)),
            np.where(rng.random(count) < 0.5, 1.0, ratio ** rng.random(count)),
            np.where(rng.random(count) < 0.7, 1.0, ratio ** rng.random(count)),
        ]
    )
    held = rng.random((4, count)) < 0.1
    high = np.where(held, low, high)
    stage_low = rng.uniform(0.05, 0.5, count)
    return Question(
        compute=compute,
        target_tokens=text,
        low=low,
        high=high,
        stage_low=stage_low,
        stage_high=np.minimum(stage_low * log_uniform(1.0, 20.0), 1.0),
        first_share=sometimes(rng.uniform(0.0, 0.9, count), 0.0),
        first_ratio=sometimes(ratio * rng.uniform(0.0, 1.0, count), 0.0),
        total_tokens=sometimes(log_uniform(1e8, 1e13), np.inf),
        source_tokens=sometimes(log_uniform(1e7, 1e13), np.inf),
        inference_tokens=sometimes(log_uniform(1e9, 1e13), 0.0),
        gpu_flops=sometimes(compute * log_uniform(0.01, 2.0), np.inf),
        least_tokens=sometimes(log_uniform(1e3, 1e7), 1.0),
    )


def widened(question: Question, rng: np.random.Generator) -> tuple[Question, np.ndarray]:
    """The questions with one thing wider each, and which, as indices into `WIDER`."""
    count = len(question.compute)
    which = rng.integers(0, len(WIDER), count)
    factor = np.exp(rng.uniform(0.0, np.log(100.0), count) * (rng.random(count) < 0.8) + 1e-3)
    leaves = {
        f.name: np.array(getattr(question, f.name), dtype=float)
        for f in dataclasses.fields(question)
    }
    for i, name in enumerate(WIDER):
        at = which == i
        if name in ("low", "high") or isinstance(name, tuple):
            side, j = name
            row = leaves[side][j]
            row[at] = row[at] / factor[at] if side == "low" else row[at] * factor[at]
            if side == "high" and j >= 2:
                row[at] = np.minimum(row[at], 1.0)
        elif name in ("first_ratio", "least_tokens", "stage_low"):
            leaves[name][at] /= factor[at]
        else:
            leaves[name][at] *= factor[at]
    leaves["stage_high"] = np.minimum(leaves["stage_high"], 1.0)
    return Question(**leaves), which


def rises(law: Law, count: int, seed: int) -> list[tuple[str, float]]:
    """Where the best log loss rises, or a recipe is gone, although something got wider."""
    rng = np.random.default_rng(seed)
    theta = random_theta(law, count, rng).T.copy()
    narrow = random_questions(count, rng)
    wide, which = widened(narrow, rng)

    def best(question: Question) -> np.ndarray:
        offered = np.ones((3, count), dtype=bool)
        offered[0] = question.high[2] >= 1
        with jax.enable_x64(True):
            return solve(law, theta, question, offered).log_loss.min(axis=0)

    before, after = best(narrow), best(wide)
    with np.errstate(invalid="ignore"):
        rise = np.where(before == np.inf, 0.0, after - before)
    # Written so that what is not a number counts, too.
    return [(str(WIDER[which[i]]), float(rise[i])) for i in np.flatnonzero(~(rise <= 1e-9))]

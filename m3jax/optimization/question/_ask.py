"""From fits and limits to questions: one for each language, budget and corpus size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._errors import M3Error
from ...fitting import Fits
from ...recipe import REGIMES
from ...variables import DECISION_VARIABLES
from ..solvers import NAMED, Question
from ._limits import Ground, Limits, amounts, ground


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked about L languages × C budgets × T corpus sizes, flattened to P questions.

    Attributes:
        names: of the languages, L.
        index: of each language in the fits, (L,).
        compute: (C,) FLOP.
        target_tokens: (L, T).
        language: of each question, an index into `index`, (P,).
        question: leaves (P,) or (4, P).
        regimes: on offer, (3, P) bool.
        grounds: of each language.
        limits: as given.
    """

    names: tuple[str, ...]
    index: np.ndarray
    compute: np.ndarray
    target_tokens: np.ndarray
    language: np.ndarray
    question: Question
    regimes: np.ndarray
    grounds: tuple[Ground, ...]
    limits: Limits

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, C, T)."""
        return len(self.index), len(self.compute), self.target_tokens.shape[1]


def ask(
    fits: Fits,
    *,
    compute: npt.ArrayLike,
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    languages: Sequence[str] | None = None,
    limits: Limits | None = None,
    extrapolate: bool = False,
) -> Asked:
    """All questions; see `optimize`. Raises `M3Error` as it does."""
    limits = limits or Limits()
    names = tuple(fits.languages if languages is None else languages)
    fits.require_any()
    if not names:
        raise M3Error("languages: expected at least one")
    index = np.array([fits.index(name) for name in names])
    budgets = amounts("compute", compute)
    sizes = _sizes(target_tokens, names)
    grounds = tuple(
        ground(name, fits.law, fits.scopes[i], limits, extrapolate=extrapolate)
        for name, i in zip(names, index, strict=True)
    )
    if limits.ladder is not None:
        for name, one in zip(names, grounds, strict=True):
            low, high = one.bounds["n_params"]
            if not any(low * (1 - 1e-9) <= size <= high * (1 + 1e-9) for size in limits.ladder):
                raise M3Error(
                    f"language {name!r}: no size of the ladder lies between {low:g} and {high:g},"
                    " the n_params allowed"
                )
    shape = len(names), len(budgets), sizes.shape[1]
    i, j, t = (axis.ravel() for axis in np.indices(shape))

    def each(values: Sequence[float]) -> np.ndarray:
        return np.array(values, dtype=np.float64)[i]

    def all_alike(value: float | None, absent: float = np.inf) -> np.ndarray:
        return np.full(len(i), absent if value is None else value)

    source = limits.max_source_tokens
    hours = limits.max_gpu_hours
    question = Question(
        compute=budgets[j],
        target_tokens=sizes[i, t],
        low=np.stack([each([g.bounds[v][0] for g in grounds]) for v in DECISION_VARIABLES]),
        high=np.stack([each([g.bounds[v][1] for g in grounds]) for v in DECISION_VARIABLES]),
        stage_low=each([g.stage_fraction[0] for g in grounds]),
        stage_high=each([g.stage_fraction[1] for g in grounds]),
        first_share=each([g.first_share for g in grounds]),
        first_ratio=all_alike(limits.min_first_ratio, 0.0),
        total_tokens=all_alike(limits.max_total_tokens),
        source_tokens=all_alike(source and source * limits.max_source_epochs),
        inference_tokens=all_alike(limits.inference_tokens, 0.0),
        gpu_flops=all_alike(hours and hours * 3600.0 * (limits.flops_per_second or 0.0)),
    )
    offered = np.array([[r in g.regimes for g in grounds] for r in range(len(REGIMES))])
    return Asked(names, index, budgets, sizes, i, question, offered[:, i], grounds, limits)


def _sizes(
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike], names: Sequence[str]
) -> np.ndarray:
    if not isinstance(target_tokens, Mapping):
        return np.tile(amounts("target_tokens", target_tokens), (len(names), 1))
    missing = [name for name in names if name not in target_tokens]
    if missing:
        raise M3Error(f"target_tokens: no entry for language {missing[0]!r}")
    rows = [amounts(f"target_tokens of {name!r}", target_tokens[name]) for name in names]
    if len({len(row) for row in rows}) > 1:
        raise M3Error("target_tokens: expected as many sizes for every language")
    return np.stack(rows)


_AMOUNTS = ("compute", "gpu_hours", "total_tokens", "source_tokens")


def why_not(asked: Asked, p: int, blame: np.ndarray, beyond: float) -> str:
    """Why question p has no allowed recipe: the limits that clash, and by how much."""
    if not asked.regimes[:, p].any():
        return "the bounds leave no regime: no target_ratio is allowed"
    if beyond > 0:
        return (
            "the constraints given as functions cannot be kept together with the other limits: the"
            f" best point found oversteps them by {beyond:.3g}"
        )
    names = [name for name, guilty in zip(NAMED, blame, strict=True) if guilty]
    together = f"these limits clash: {', '.join(names)}"
    pure = [name for name in names if name in _AMOUNTS]
    if not pure:
        variables = [name.partition(" ")[2] for name in names]
        common = [v for v in DECISION_VARIABLES if v in variables]
        first = common[0] if common else "recipe"
        return f"no {first} lies between its lowest and highest allowed value; {together}"
    q: dict[str, Any] = {
        name: np.asarray(value)[..., p] for name, value in vars(asked.question).items()
    }
    n, k = q["low"][:2]
    simple = int(np.argmax(asked.regimes[:, p]))  # the simplest regime is the least demanding
    r = 1.0 if simple == 0 else min(q["high"][2], q["high"][3])
    total = k * q["target_tokens"] / r
    cost = 6.0 * n * total
    needs, cap, unit = {
        "compute": (cost + 2.0 * n * q["inference_tokens"], q["compute"], "FLOP"),
        "gpu_hours": (cost, q["gpu_flops"], "FLOP"),
        "total_tokens": (total, q["total_tokens"], "tokens"),
        "source_tokens": (total * (1 - r), q["source_tokens"], "tokens"),
    }[pure[0]]
    return (
        f"{pure[0]}: the least demanding allowed recipe (n_params {n:.4g}, epochs {k:.4g},"
        f" target_ratio {r:.4g}) needs {needs:.4g} {unit}, the limit is {cap:.4g}; {together}"
    )

"""What languages fitted together have in common, as a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._errors import M3Error
from ...laws import Law, LogSpaceLaw


@dataclasses.dataclass(frozen=True)
class Population:
    """What languages fitted together have in common.

    The figures of a coefficient are in its own unit, in logarithms where `Coefficient.log` says so,
    and for amplitudes the logarithm of the share of the loss that the term makes up in the
    geometric middle of all runs. Shapes (p,).

    Attributes:
        pool: "partial" or "full".
        names: coefficients, in the law's order.
        fitted: which are fitted; the figures of the others mean nothing.
        mean: of the population.
        mean_sd: standard error of that mean.
        sd: between languages.
        rho: sd² over the weak prior's: 0 where languages share one value, 1 where nothing is
            pooled. Of amplitudes without the overall scale of the loss, which is each language's.
        languages: how many it was estimated from.
        noise: sd of the runs' log losses around the fits.
        rounds: of fits and estimates that it took.
        settled: whether it had stopped moving when the fits had. If not, it is still drifting, and
            predictions of languages with few runs depend on where it was stopped.
    """

    pool: str
    names: tuple[str, ...]
    fitted: np.ndarray
    mean: np.ndarray
    mean_sd: np.ndarray
    sd: np.ndarray
    rho: np.ndarray
    languages: int
    noise: float
    rounds: int
    settled: bool

    def ranges(self, law: Law) -> dict[str, tuple[float, float]]:
        """Where a further language is expected, one sd to either side: what `Prior` takes."""
        spread = np.hypot(self.sd, self.mean_sd)
        low, high = self.mean - spread, self.mean + spread
        terms = law.terms if isinstance(law, LogSpaceLaw) else {}
        out = {}
        for j, c in enumerate(law.coefficients):
            if self.fitted[j]:
                a, b = float(low[j]), float(high[j])
                if c.log or c.name in terms:
                    a, b = float(np.exp(a)), float(np.exp(b))
                if c.name not in terms:
                    a, b = max(a, c.bounds[0]), min(b, c.bounds[1])
                out[c.name] = a, b
        return out

    @property
    def status(self) -> str:
        """In words, whether the estimate settled."""
        if self.settled:
            return f"settled after {self.rounds} rounds"
        return (
            f"still drifting after {self.rounds} rounds: the runs hardly decide it, and what few"
            " runs leave open depends on where it stopped"
        )

    def to_dict(self, law: Law) -> dict[str, Any]:
        """The JSON shape; every number is finite."""
        ranges = self.ranges(law)
        return {
            "pool": self.pool,
            "languages": self.languages,
            "noise": self.noise,
            "rounds": self.rounds,
            "settled": self.settled,
            "status": self.status,
            "coefficients": {
                name: {
                    "mean": float(self.mean[j]),
                    "mean_sd": float(self.mean_sd[j]),
                    "sd": float(self.sd[j]),
                    "rho": float(self.rho[j]),
                    "low": ranges[name][0],
                    "high": ranges[name][1],
                }
                for j, name in enumerate(self.names)
                if self.fitted[j]
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], law: Law) -> Population:
        """Read what `to_dict` wrote; raises `M3Error` or `KeyError` where it is not that."""
        rows = content["coefficients"]
        if set(rows) - set(law.names):
            raise M3Error(f"the population's coefficients are not those of law {law.name}")

        def column(key: str) -> np.ndarray:
            return np.array([rows[n][key] if n in rows else 0.0 for n in law.names], dtype=float)

        return cls(
            pool=content["pool"],
            names=law.names,
            fitted=np.array([n in rows for n in law.names]),
            mean=column("mean"),
            mean_sd=column("mean_sd"),
            sd=column("sd"),
            rho=column("rho"),
            languages=content["languages"],
            noise=content["noise"],
            rounds=content["rounds"],
            settled=content["settled"],
        )

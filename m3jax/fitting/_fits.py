"""The result of a fit, and the file it lives in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import M3Error, suggestion
from .._version import __version__
from ..laws import Law
from ..recipe import Recipe
from ..variables import VARIABLES
from ._beyond import BENDING, Spread
from ._losses import interval, loss_interval, predict, predict_spread
from ._noise import noise_factor
from ._views import FitsViews
from .fit_file import (
    as_written,
    check_content,
    check_size,
    file_identity,
    law_of,
    read_arrays,
    read_content,
    write_pair,
)
from .pooling import Population, ground_notes, pooled_scopes, public_ground, rest_on_public
from .problem import Scope

SCHEMA_VERSION = 3
GRADES = ("good", "usable", "weak", "unusable")
NOT_FITTED = "not fitted"  # the status of a language that has no grade
_ARRAYS = (  # in the .npz file
    "theta", "draws", "bends", "edges", "prior_mean", "prior_precision", "prior_weight"
)  # fmt: skip

_UNITS = {
    "loss": VARIABLES["loss"].unit,
    "objective": "sum of Huber losses of log residuals",
    "huber_delta": "log loss",
    **{
        name: VARIABLES[name].unit
        for name in ("n_params", "target_tokens", "total_tokens", "epochs", "compute")
    },
}


@dataclasses.dataclass(frozen=True, repr=False)
class Fits(FitsViews):
    """A law fitted to the runs of one or many languages.

    The arrays hold the languages that could be fitted, L of them; the others are in `failed`.

    Attributes:
        law: the law.
        languages: names, in the order of the arrays.
        theta: coefficient vectors, shape (L, p); see `Law.from_theta`.
        draws: bootstrap draws of theta, shape (L, B, p).
        bends: exponents by which each draw's loss bends beyond the runs, (L, B, 5), see `Spread`;
            zeros unless intervals are calibrated.
        edges: logarithms of the range of the runs, (L, 2, 5), beyond which they bend.
        frozen: coefficients not fitted (fixed by the caller or undetermined), shape (L, p) bool.
        objective: sum of Huber losses of log residuals, shape (L,).
        r2: share of the variance of the loss explained, shape (L,).
        n_runs: shape (L,).
        converged: shape (L,) bool.
        grading: finds `grades` when they are first asked for: a diagnosis of every language.
        agreement: share of the descents followed to their end that ended within 0.1% of the best
            objective, shape (L,). Below 1 there are rival optima, which the draws start from too.
        huber_delta: of the objective, log loss, shape (L,): the setting or, without one,
            half the noise of the language's own runs.
        noise: robust standard deviation of a run's log loss around the fit, in the middle of the
            runs, (L,); see `noise_at`.
        noise_powers: by which it goes with epochs and target ratio, (L, 2): zeros unless the runs
            show it.
        noise_middle: logarithms of epochs and ratio in the middle of the runs, (L, 2).
        widening: how many times wider than by resampling alone the draws of the coefficients lie,
            (L,): what hold-outs inside the runs ask for; 1 unless intervals are calibrated.
        prior_mean, prior_precision: the normal prior on theta, (L, p) and its inverse covariance
            (L, p, p), zero where it has no say.
        prior_weight: the misfit that the objective weighed one unit of its negative log density
            with, (L,).
        scopes: what each language's runs cover.
        messages: per language, what the user should know.
        failed: language -> (number of runs, why it could not be fitted).
        settings: how the fit was made.
        population: what the languages have in common, where they were pooled.
    """

    law: Law
    languages: tuple[str, ...]
    theta: np.ndarray
    draws: np.ndarray
    bends: np.ndarray
    edges: np.ndarray
    frozen: np.ndarray
    objective: np.ndarray
    r2: np.ndarray
    n_runs: np.ndarray
    converged: np.ndarray
    grading: Callable[[], tuple[str, ...]]
    agreement: np.ndarray
    huber_delta: np.ndarray
    noise: np.ndarray
    noise_powers: np.ndarray
    noise_middle: np.ndarray
    widening: np.ndarray
    prior_mean: np.ndarray
    prior_precision: np.ndarray
    prior_weight: np.ndarray
    scopes: tuple[Scope, ...]
    messages: tuple[tuple[str, ...], ...]
    failed: Mapping[str, tuple[int, str]]
    settings: Mapping[str, Any]
    population: Population | None = None

    @cached_property
    def grades(self) -> tuple[str, ...]:
        """Of each language, "good", "usable", "weak" or "unusable"; `diagnose` says why."""
        return self.grading()

    @cached_property
    def grounds(self) -> tuple[Scope, ...]:
        """What recipes of each language may rest on.

        Its runs; under pooling those of all; few runs under the public prior on what that rests on.
        """
        if self.population is not None:
            return pooled_scopes(self.scopes)
        own = zip(self.scopes, self._on_evidence, strict=True)
        return tuple(public_ground(scope) if few else scope for scope, few in own)

    @cached_property
    def _on_evidence(self) -> list[bool]:
        """Which languages have too few runs to stand without the public prior they were given."""
        prior, free = self.settings.get("prior"), (~self.frozen).sum(axis=1)
        return rest_on_public(self.law, prior, self.n_runs, free)

    def ground_notes(self, i: int) -> tuple[str, ...]:
        """What to say of the ground of the recipes of language number i; nothing of its own."""
        runs, free = int(self.n_runs[i]), int((~self.frozen[i]).sum())
        how = {"pooled": self.population is not None, "public": self._on_evidence[i]}
        return ground_notes(self.grounds[i], runs, free, **how)

    def index(self, language: str | None = None) -> int:
        """Position of a language; None is allowed where there is only one.

        Raises `M3Error` for a language that is unknown or could not be fitted.
        """
        if language is None:
            if len(self.languages) == 1:
                return 0
            raise M3Error(f"name a language: the fits hold {', '.join(self.languages) or 'none'}")
        if language in self.failed:
            raise M3Error(f"language {language!r} was not fitted: {self.failed[language][1]}")
        if language not in self.languages:
            raise M3Error(f"unknown language {language!r}; {suggestion(language, self.languages)}")
        return self.languages.index(language)

    def require_any(self) -> None:
        """Raise `M3Error`, with the first reason, if no language could be fitted."""
        if not self.languages:
            name, (_, reason) = next(iter(self.failed.items()))
            raise M3Error(f"no language could be fitted; {name!r}: {reason}")

    def coefficients(self, language: str | None = None) -> dict[str, float]:
        """Best-fit coefficients by name."""
        theta = self.theta[self.index(language)]
        return {
            c.name: float(np.exp(v) if c.log else v)
            for c, v in zip(self.law.coefficients, theta, strict=True)
        }

    def intervals(self, language: str | None = None) -> dict[str, tuple[float, float]]:
        """Bootstrap interval (low, high) of each coefficient, at the fit's `level`."""
        i = self.index(language)
        low, high = (
            interval(self.draws[i], self.settings["level"])
            if self.draws.shape[1]
            else (self.theta[i],) * 2
        )
        return {
            c.name: (float(np.exp(a) if c.log else a), float(np.exp(b) if c.log else b))
            for c, a, b in zip(self.law.coefficients, low, high, strict=True)
        }

    def predict(self, recipe: Recipe, language: str | None = None) -> np.ndarray:
        """Predicted loss in nats per token, of the recipe's shape."""
        return predict(self.law, self.theta[self.index(language)][None], recipe)[0]

    def predict_draws(self, recipe: Recipe, language: str | None = None) -> np.ndarray:
        """Predicted loss under each draw, of shape (B, *recipe's shape)."""
        return predict_spread(self.law, self.spread, self.index(language), recipe)

    def loss_interval(
        self,
        recipe: Recipe,
        language: str | None = None,
        *,
        level: float | None = None,
        of_run: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval (low, high) of the loss of recipes, each of the recipe's shape.

        Args:
            recipe: the recipes.
            language: may be left out where there is only one.
            level: default the fit's.
            of_run: a prediction, of what one run will measure, noise included; else a projection,
                of what runs would measure on average.

        Raises `M3Error` if the fit has no draws.
        """
        if not self.draws.shape[1]:
            raise M3Error("loss_interval: the fit has no draws; fit with draws=200")
        return loss_interval(
            self.predict(recipe, language),
            self.predict_draws(recipe, language),
            self.settings["level"] if level is None else level,
            calibrated=self.spread.calibrated,
            noise=self.noise_at(recipe, language) if of_run else None,
        )

    def noise_at(self, recipe: Recipe, language: str | None = None) -> np.ndarray:
        """Standard deviation of the log loss of one run of recipes (...), of the same shape."""
        i = self.index(language)
        factor = noise_factor(recipe, self.noise_powers[i], self.noise_middle[i])
        return np.asarray(self.noise[i] * factor)

    @cached_property
    def spread(self) -> Spread:
        """What is drawn of the losses."""
        calibrated = self.settings["intervals"] == "calibrated"
        return Spread(self.draws, self.bends, self.edges, calibrated)

    def to_dict(self) -> dict[str, Any]:
        """The public JSON shape; every number is finite."""
        languages: dict[str, Any] = {}
        for i, name in enumerate(self.languages):
            values, spans = self.coefficients(name), self.intervals(name)
            languages[name] = {
                "status": self.grades[i],
                "converged": bool(self.converged[i]),
                "objective": float(self.objective[i]),
                "r2": float(self.r2[i]),
                "n_runs": int(self.n_runs[i]),
                "start_agreement": float(self.agreement[i]),
                "huber_delta": float(self.huber_delta[i]),
                "noise": float(self.noise[i]),
                "noise_powers": self.noise_powers[i].tolist(),
                "noise_middle": self.noise_middle[i].tolist(),
                "widening": float(self.widening[i]),
                "coefficients": {
                    c.name: {
                        "value": values[c.name],
                        "low": spans[c.name][0],
                        "high": spans[c.name][1],
                        "frozen": bool(self.frozen[i, j]),
                    }
                    for j, c in enumerate(self.law.coefficients)
                },
                "messages": list(self.messages[i]),
                "runs": {
                    "ranges": {k: list(v) for k, v in self.scopes[i].ranges.items()},
                    "varies": sorted(self.scopes[i].varies),
                    "first_share": self.scopes[i].first_share,
                },
            }
        for name, (n_runs, reason) in self.failed.items():
            languages[name] = {
                "status": NOT_FITTED,
                "objective": None,
                "huber_delta": None,
                "r2": None,
                "n_runs": n_runs,
                "coefficients": {},
                "messages": [reason],
            }
        pooled = {}
        if self.population is not None:
            pooled = {"population": self.population.to_dict(self.law)}
        return {
            "schema_version": SCHEMA_VERSION,
            "law": self.law.name,
            "formula": self.law.formula,
            "m3jax_version": __version__,
            "units": _UNITS,
            "settings": dict(self.settings),
            **pooled,
            "languages": languages,
        }

    def save(
        self, path: str | os.PathLike[str], *, beside: Mapping[Path, bytes] | None = None
    ) -> Path:
        """Write `path` (readable JSON) and beside it `.npz` with the arrays.

        Both are written whole or not at all, and so are any further files `beside` them. Whenever
        the process ends, what is then read is the fit of before or this one. Raises `M3Error` if
        the folder cannot be written to.
        """
        path = Path(path)
        content = as_written(path, self.to_dict())
        check_content(path, content, self.law, GRADES, NOT_FITTED)
        return write_pair(
            path, content, {name: getattr(self, name) for name in _ARRAYS}, beside or {}
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, law: Law | None = None) -> Fits:
        """Read what `save` wrote; `law` is needed only for a law that is not registered.

        Raises `M3Error` on a missing, truncated, damaged, edited or foreign file, another schema
        version, or arrays that do not belong to it.
        """
        path = Path(path)
        while True:
            before = file_identity(path)
            content = read_content(path, SCHEMA_VERSION)
            try:
                return cls._from_content(path, content, law)
            except M3Error:
                if file_identity(path) == before:
                    raise  # or else another process has saved meanwhile, be it the same fit again

    @classmethod
    def _from_content(cls, path: Path, content: Mapping[str, Any], law: Law | None) -> Fits:
        law = law_of(path, content, law)
        check_content(path, content, law, GRADES, NOT_FITTED)
        entries = content["languages"]
        fitted = {k: v for k, v in entries.items() if v["status"] != NOT_FITTED}
        count, p = len(fitted), len(law.names)
        arrays = read_arrays(
            path,
            content,
            {
                "theta": (count, p),
                "draws": (count, None, p),
                "bends": (count, None, len(BENDING)),
                "edges": (count, 2, len(BENDING)),
                "prior_mean": (count, p),
                "prior_precision": (count, p, p),
                "prior_weight": (count,),
            },
        )
        check_size(path, law, arrays)
        if arrays["bends"].shape[1] != arrays["draws"].shape[1]:
            raise M3Error(f"{path}, array bends: expected one for each of the draws")
        rows = list(fitted.values())
        return cls(
            law=law,
            languages=tuple(fitted),
            **arrays,
            frozen=np.array(
                [[row["coefficients"][n]["frozen"] for n in law.names] for row in rows], dtype=bool
            ).reshape(len(rows), p),
            objective=np.array([row["objective"] for row in rows], dtype=np.float64),
            r2=np.array([row["r2"] for row in rows], dtype=np.float64),
            n_runs=np.array([row["n_runs"] for row in rows], dtype=np.int64),
            converged=np.array([row["converged"] for row in rows], dtype=bool),
            grading=lambda: tuple(row["status"] for row in rows),
            agreement=np.array([row["start_agreement"] for row in rows], dtype=np.float64),
            huber_delta=np.array([row["huber_delta"] for row in rows], dtype=np.float64),
            noise=np.array([row["noise"] for row in rows], dtype=np.float64),
            noise_powers=_pairs(row["noise_powers"] for row in rows),
            noise_middle=_pairs(row["noise_middle"] for row in rows),
            widening=np.array([row["widening"] for row in rows], dtype=np.float64),
            scopes=tuple(
                Scope(
                    {k: (v[0], v[1]) for k, v in row["runs"]["ranges"].items()},
                    frozenset(row["runs"]["varies"]),
                    row["runs"]["first_share"],
                )
                for row in rows
            ),
            messages=tuple(tuple(row["messages"]) for row in rows),
            failed={
                k: (v["n_runs"], v["messages"][0])
                for k, v in entries.items()
                if v["status"] == NOT_FITTED
            },
            settings={**content["settings"], "level": float(content["settings"]["level"])},
            population=(
                Population.from_dict(content["population"], law)
                if "population" in content
                else None
            ),
        )


def _pairs(rows: Iterable[list[float]]) -> np.ndarray:
    return np.array(list(rows), dtype=np.float64).reshape(-1, 2)

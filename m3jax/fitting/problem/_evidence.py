"""What public run tables say of a language that has no runs yet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from ..._errors import M3Error
from ...files import parse_json
from ...laws import Law, LogSpaceLaw, get_law
from ...recipe import Recipe
from ...variables import RUN_VARIABLES
from ._scope import Scope

KIND = "m3jax evidence"
WORDS = "the public runs"
_FILE = "public_evidence.json"
_TWO_STAGES = ("eta", "theta")


class EvidenceTable(NamedTuple):
    """One of the tables.

    Attributes:
        name: of the table.
        source: what it is and where it is from.
        languages, runs: how many.
        ranges: variable -> (lowest, highest) in its runs.
        varies: the variables that it says something about.
    """

    name: str
    source: str
    languages: int
    runs: int
    ranges: Mapping[str, tuple[float, float]]
    varies: tuple[str, ...]

    @classmethod
    def of(cls, name: str, source: str, recipe: Recipe, languages: int) -> EvidenceTable:
        """What is told of runs with these recipes, leaves (n,)."""
        scope = Scope.of(recipe)
        varies = tuple(v for v in RUN_VARIABLES if v in scope.varies)
        return cls(name, source, languages, len(recipe.n_params), scope.ranges, varies)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A law's coefficients as they are expected in a language that has no runs yet.

    A normal distribution of the solver's variables x with theta = centre @ x, centred at reference
    recipes of the scale that is asked about: what the tables have in common, how unsure that is and
    how they differ, together. Amplitudes are shares of the loss at the reference.

    Attributes:
        law: the law.
        base, penalty: the recipes at which the terms of the law are sized; the amplitude of the
            repetition penalty is sized at the second, where there is repetition.
        mean, cov: of x less the log loss at the reference, (p,) and (p, p).
        typical: mean and standard deviation of the log loss at the reference.
        noise: standard deviation of a run's log loss around the law.
        width: how many times wider than the draws say differences of losses have to lie, for 90%
            intervals to hold in tables that were left out, without runs of theirs and with few.
        scope: what all tables cover together.
        tables: which they are.
        made: when and by what.
    """

    law: Law
    base: Mapping[str, float]
    penalty: Mapping[str, float]
    mean: np.ndarray
    cov: np.ndarray
    typical: tuple[float, float]
    noise: float
    width: float
    scope: Scope
    tables: tuple[EvidenceTable, ...]
    made: str

    @property
    def centre(self) -> np.ndarray:
        """theta = centre @ x, (p, p)."""
        return reference_centre(self.law, self.base, self.penalty)

    def root(self) -> np.ndarray:
        """A matrix whose square is the covariance of x, the loss at the reference being given."""
        return np.linalg.cholesky(_with_scale(self.law, self.cov, _NO_SCALE))

    def to_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return {
            "kind": KIND,
            "law": self.law.name,
            "made": self.made,
            "base": dict(self.base),
            "penalty": dict(self.penalty),
            "coefficients": list(self.law.names),
            "mean": _few(self.mean),
            "covariance": [_few(row) for row in self.cov],
            "typical_log_loss": list(self.typical),
            "noise": self.noise,
            "width": self.width,
            "scope": {
                "ranges": {name: _few(span) for name, span in self.scope.ranges.items()},
                "varies": sorted(self.scope.varies),
                "first_share": self.scope.first_share,
                "languages": self.scope.languages,
            },
            "tables": [
                {
                    **table._asdict(),
                    "ranges": {name: _few(span) for name, span in table.ranges.items()},
                    "varies": list(table.varies),
                }
                for table in self.tables
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> Evidence:
        """Read what `to_dict` wrote. Raises `M3Error` where it is not that."""
        if content.get("kind") != KIND:
            raise M3Error(f'{where}: not an evidence file (expected "kind": "{KIND}")')
        law = get_law(content["law"])
        if content["coefficients"] != list(law.names):
            raise M3Error(f"{where}: its coefficients are not those of law {law.name}")
        scope = content["scope"]
        return cls(
            law=law,
            base=content["base"],
            penalty=content["penalty"],
            mean=np.array(content["mean"]),
            cov=np.array(content["covariance"]),
            typical=tuple(content["typical_log_loss"]),
            noise=content["noise"],
            width=content["width"],
            scope=Scope(
                {name: tuple(span) for name, span in scope["ranges"].items()},
                frozenset(scope["varies"]),
                scope["first_share"],
                scope["languages"],
                WORDS,
            ),
            tables=tuple(
                EvidenceTable(
                    **{
                        **table,
                        "ranges": {name: tuple(span) for name, span in table["ranges"].items()},
                        "varies": tuple(table["varies"]),
                    }
                )
                for table in content["tables"]
            ),
            made=content["made"],
        )

    @classmethod
    def public(cls) -> Evidence:
        """What ships with m3jax."""
        return _public()

    def joint(self) -> JointPrior:
        """The same as a prior on theta, for runs whose losses say how large they are."""
        centre = self.centre
        cov = _with_scale(self.law, self.cov, _ANY_SCALE)
        return JointPrior(centre @ self.mean, centre @ cov @ centre.T, self.scope)


_ANY_SCALE = 1.0  # sd of the log of a loss whose unit is not known
_NO_SCALE = 1e-6


class JointPrior(NamedTuple):
    """A normal prior on theta as a whole, less the log loss that is typical of a language.

    Attributes:
        mean, cov: of theta, amplitudes less the log loss, (p,) and (p, p).
        scope: what it rests on.
    """

    mean: np.ndarray
    cov: np.ndarray
    scope: Scope


@cache
def _public() -> Evidence:
    text = resources.files("m3jax.data").joinpath(_FILE).read_text(encoding="utf-8")
    return Evidence.from_dict(parse_json(text, _FILE), "the public evidence")


def reference_centre(
    law: Law, base: Mapping[str, float], penalty: Mapping[str, float]
) -> np.ndarray:
    """theta = centre @ x where terms are sized at `base`, the one that repetition raises at
    `penalty`, (p, p)."""
    assert isinstance(law, LogSpaceLaw)

    def at(values: Mapping[str, float]) -> np.ndarray:
        return np.asarray(law.centre(reference_recipe(values)))

    centre = at(base)
    for name, powers in law.terms.items():
        if any(feature == "repetition" for _, feature in powers.values()):
            row = law.names.index(name)
            centre[row] = at(penalty)[row]
    return centre


def doubting_two_stages(law: Law, cov: np.ndarray) -> np.ndarray:
    """The covariance (p, p) with the exponents of two stages as open as before any runs.

    They were seen in small models alone.
    """
    low, high = law.theta_start()
    cov = cov.copy()
    for name in _TWO_STAGES:
        if name in law.names:
            j = law.names.index(name)
            factor = max(1.0, (high[j] - low[j]) / 2 / math.sqrt(cov[j, j]))
            cov[j, :] *= factor
            cov[:, j] *= factor
    return cov


def _with_scale(law: Law, cov: np.ndarray, sd: float) -> np.ndarray:
    """`cov` (p, p) of x with the overall scale of the loss independent of all else, and this sd."""
    amplitude = amplitudes(law)
    unit = amplitude / np.linalg.norm(amplitude)
    rest = np.eye(len(unit)) - np.outer(unit, unit)
    return np.asarray(rest @ cov @ rest + sd**2 * np.outer(amplitude, amplitude))


def amplitudes(law: Law) -> np.ndarray:
    """1 for the amplitudes of a law's terms, 0 for the rest, (p,)."""
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    return np.array([float(name in terms) for name in law.names])


def reference_recipe(values: Mapping[str, float]) -> Recipe:
    """One recipe, leaves (1,)."""
    return Recipe.create(**{name: np.array([value]) for name, value in values.items()})


def _few(values: Any) -> list[float]:
    return [float(f"{v:.6g}") for v in np.asarray(values).tolist()]

"""What a fit expects of the coefficients before it has seen the runs."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import M3Error, shown
from ...files import parse_json, write_json
from ...laws import Law, LogSpaceLaw
from ._evidence import Evidence, JointPrior
from ._space import TERM_BOUNDS, ParameterSpace

_KIND = "m3jax prior"
_PUBLIC = "public_prior.json"


@dataclasses.dataclass(frozen=True)
class Prior:
    """Ranges that coefficients are expected in, as independent normal distributions.

    Attributes:
        ranges: coefficient -> (low, high), one standard deviation to either side of the mean, in
            the coefficient's own unit. Coefficients that a law fits as logarithms (R and tau of
            `m3`) are normal in the logarithm. The amplitudes of a law whose terms are known (E, A,
            B and P of `m3`) are given as the share of the loss that their term makes up in the
            geometric middle of a language's runs, normal in the logarithm too: (0.4, 0.7) for E
            says that the irreducible loss is 40% to 70% of a typical loss, in any unit of loss.
            Coefficients that are not named keep the weak prior: the range that the law's starting
            values come from.
        source: where the ranges come from, for people.
        joint: a normal prior on all coefficients as a whole, which then decides; `ranges` are what
            it says of each.
    """

    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    source: str = ""
    joint: JointPrior | None = None

    def check(self, law: Law) -> None:
        """Raise `M3Error` on names the law lacks, low >= high, or values outside its bounds."""
        for name, span in self.ranges.items():
            if name not in law.names:
                raise M3Error(
                    f"prior: law {law.name} has no coefficient {name!r}; it has"
                    f" {', '.join(law.names)}"
                )
            try:
                low, high = (float(v) for v in span)
            except (TypeError, ValueError, OverflowError) as error:
                found = str(span)[:80]
                raise M3Error(f"prior {name}: expected (low, high), got {found}") from error
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise M3Error(f"prior {name}: expected low < high, got {low:g} and {high:g}")
            bounds, unit = law.coefficients[law.names.index(name)].bounds, ""
            if _is_amplitude(law, name):
                bounds = (math.exp(TERM_BOUNDS[0]), math.exp(TERM_BOUNDS[1]))
                unit = ", the share of the loss its term makes up in the middle of the runs"
            if not bounds[0] <= low < high <= bounds[1]:
                raise M3Error(
                    f"prior {name} = {low:g} to {high:g}: expected values within {bounds[0]:.3g} to"
                    f" {bounds[1]:.3g}{unit}"
                )

    def moments(
        self, law: Law, space: ParameterSpace, typical: np.ndarray, free: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the solver's variables, (L, p) and (L, p, p).

        `typical` is the mean log loss of each language, (L,), `free` (L, p) what is fitted.
        """
        if self.joint is not None:
            amplitudes = np.array([_is_amplitude(law, name) for name in law.names])
            inverse = np.linalg.inv(space.centre)
            theta = self.joint.mean + amplitudes * np.asarray(typical)[:, None]
            mean = np.einsum("lij,lj->li", inverse, theta)
            return mean, inverse @ self.joint.cov @ np.swapaxes(inverse, 1, 2)
        mean, sd = space.prior_mean.copy(), space.prior_sd.copy()
        for name, (low, high) in self.ranges.items():
            j = law.names.index(name)
            amplitude = _is_amplitude(law, name)
            if amplitude or law.coefficients[j].log:
                low, high = math.log(low), math.log(high)
            middle = (low + high) / 2 + (np.asarray(typical) if amplitude else 0.0)
            mean[:, j] = np.where(free[:, j], middle, mean[:, j])
            sd[:, j] = (high - low) / 2
        return mean, sd[..., None] ** 2 * np.eye(len(law.names))

    @classmethod
    def read(cls, path: str | os.PathLike[str], law: Law | None = None) -> Prior:
        """A prior from a JSON file: {"kind": "m3jax prior", "source": text, "ranges": {...}}.

        Instead of "ranges" the file may hold "laws": {law: ranges}; then `law` says which.
        Raises `M3Error` on a missing or foreign file or one that says nothing on the law.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise M3Error(f"{path}: prior cannot be read: {error}") from error
        return _parsed(text, str(path), law)

    @classmethod
    def public(cls, law: Law) -> Prior:
        """The prior that public run tables give, see `source`; raises `M3Error` if none for it."""
        evidence = Evidence.public()
        if law.name == evidence.law.name:
            return cls.of_evidence(evidence)
        text = resources.files("m3jax.data").joinpath(_PUBLIC).read_text(encoding="utf-8")
        return _parsed(text, "the public prior", law)

    @classmethod
    def of_evidence(cls, evidence: Evidence) -> Prior:
        """What run tables say of a further language, coefficients as a whole."""
        law, mean = evidence.law, evidence.mean
        sd = np.sqrt(np.diagonal(evidence.cov))
        ranges = {}
        for j, c in enumerate(law.coefficients):
            low, high = float(mean[j] - sd[j]), float(mean[j] + sd[j])
            amplitude = _is_amplitude(law, c.name)
            if c.log or amplitude:
                low, high = math.exp(low), math.exp(high)
            if not amplitude:
                low, high = max(low, c.bounds[0]), min(high, c.bounds[1])
            ranges[c.name] = (low, high)
        names = "; ".join(f"{table.name}: {table.source}" for table in evidence.tables)
        return cls(ranges, f"{evidence.made}, of {names}", evidence.joint())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON file that `read` takes. Raises `M3Error` if it cannot be written."""
        content = {
            "kind": _KIND,
            "source": self.source,
            "ranges": {name: [float(v) for v in span] for name, span in self.ranges.items()},
        }
        return write_json(path, content)


def _is_amplitude(law: Law, name: str) -> bool:
    return isinstance(law, LogSpaceLaw) and name in law.terms


def _parsed(text: str, where: str, law: Law | None) -> Prior:
    content = parse_json(text, where)
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise M3Error(f'{where}: not a prior file (expected "kind": "{_KIND}")')
    ranges = content.get("ranges")
    if ranges is None and isinstance(content.get("laws"), dict):
        laws = content["laws"]
        if law is None or law.name not in laws:
            raise M3Error(
                f"{where}: nothing on law {law.name if law else '(none named)'}; it has"
                f" {', '.join(laws)}"
            )
        ranges = laws[law.name]
    if not isinstance(ranges, dict):
        raise M3Error(f'{where}: expected "ranges", coefficient -> [low, high]')
    source = content.get("source", "")
    if not isinstance(source, str):
        raise M3Error(f'{where}: expected "source", text')
    for name, span in ranges.items():
        if not (isinstance(span, list) and len(span) == 2):
            raise M3Error(f"{where}, prior {name}: expected [low, high], got {shown(span)}")
    return Prior({name: (span[0], span[1]) for name, span in ranges.items()}, source)


def resolve(law: Law, prior: str | os.PathLike[str] | Prior) -> tuple[Prior | None, dict[str, Any]]:
    """The prior that an option means, None for "none", and what the fit's settings say of it.

    Raises `M3Error` on what is no prior, or none for this law.
    """
    if isinstance(prior, Prior):
        stated, label = prior, "given"
    elif not isinstance(prior, str | os.PathLike):
        raise M3Error(f"prior: expected a name, a path or a Prior, got {prior!r}")
    elif prior == "none":
        return None, {"prior": "none"}
    elif prior == "weak":
        return Prior(), {"prior": "weak"}
    elif prior == "public":
        stated, label = Prior.public(law), "public"
    elif str(prior).endswith(".json"):
        stated, label = Prior.read(prior, law), str(prior)
    else:
        raise M3Error(
            f"prior: expected 'weak', 'none', 'public' or the path of a .json file, got {prior!r}"
        )
    stated.check(law)
    ranges = {name: [float(low), float(high)] for name, (low, high) in stated.ranges.items()}
    return stated, {"prior": label, "prior_ranges": ranges, "prior_source": stated.source}

"""How fits are looked at: one language of them, a table of coefficients, a line for a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._views import Views, drawn, require_xarray
from ..formatting import quantity, quoted
from ..laws import Law
from ..options import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    import pandas as pd
    from matplotlib.figure import Figure

    from ..runs import RunTable

_NAMED = 4  # languages in a line


class FitsViews(Views):
    """What `Fits` can be asked beside what it says itself, which is used here."""

    law: Law
    languages: tuple[str, ...]
    theta: np.ndarray
    draws: np.ndarray
    frozen: np.ndarray
    r2: np.ndarray
    n_runs: np.ndarray
    failed: Mapping[str, tuple[int, str]]
    index: Callable[..., int]
    coefficients: Callable[..., dict[str, float]]
    intervals: Callable[..., dict[str, tuple[float, float]]]

    def __getitem__(self, languages: str | Sequence[str]) -> Self:
        """The fits of one language or of some: `fits["Indonesian"]`. Raises as `index` does."""
        rows = [self.index(name) for name in names_in(languages)]
        own: Any = self
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(own)}
        # Of each language: arrays, and tuples of one entry a language.
        some: dict[str, Any] = {
            name: value[rows] for name, value in fields.items() if isinstance(value, np.ndarray)
        }
        some |= {
            name: tuple(fields[name][row] for row in rows)
            for name in ("languages", "scopes", "messages")
        }
        taken: Self = dataclasses.replace(
            own, failed={}, grading=lambda: tuple(own.grades[row] for row in rows), **some
        )
        return taken

    def __len__(self) -> int:
        return len(self.languages)

    def to_frame(self) -> pd.DataFrame:
        """One row a language and coefficient: value, interval, whether it was frozen."""
        import pandas as pd

        rows = []
        for i, language in enumerate(self.languages):
            values, spans = self.coefficients(language), self.intervals(language)
            for j, name in enumerate(self.law.names):
                low, high = spans[name]
                rows.append((language, name, values[name], low, high, bool(self.frozen[i, j])))
        names = ["language", "coefficient", "value", "low", "high", "frozen"]
        return pd.DataFrame(rows, columns=names)

    def summary(self) -> str:
        """What these fits are, in a line."""
        some = quoted(self.languages, most=_NAMED)
        parts = [f"{quantity(len(self), 'language')} ({some})" if self.languages else "no language"]
        if len(self):
            parts.append(f"{quantity(int(self.n_runs.sum()), 'run')}")
            parts.append(f"R² {self.r2.min():.3f} to {self.r2.max():.3f}")
        parts.append(quantity(self.draws.shape[1], "draw"))
        if self.failed:
            parts.append(f"not fitted: {quoted(self.failed, most=_NAMED)}")
        return f"Fits of {self.law.name}: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"<{self.summary()}>"

    def brief_frame(self) -> pd.DataFrame:
        """Values of the first languages, a column a language."""
        frame = self.to_frame().head(len(self.law.names) * _NAMED)
        wide = frame.pivot(index="coefficient", columns="language", values="value")
        return wide.reindex(list(self.law.names))

    def plot(self, runs: RunTable | None = None) -> Figure:
        """Coefficients with their intervals or, given the runs, how well the fit meets them.

        Raises `M3Error` without matplotlib, without languages, or for runs of none of them.
        """
        return drawn(self, runs)

    def to_xarray(self) -> Any:
        """Coefficients as an `xarray.Dataset` that ArviZ reads: `arviz.summary(fits.to_xarray())`.

        The variable `coefficients` holds the draws, by chain (there is one), draw, language and
        coefficient. Beside them as coordinates, by language and coefficient: `best`, the best fit,
        and `frozen`. The draws are a bootstrap's, each independent of the others: diagnostics of
        Markov chains have nothing to say of them.

        Raises `M3Error` without xarray.
        """
        cells = ("language", "coefficient")
        return require_xarray().Dataset(
            {
                "coefficients": (
                    ("chain", "draw", *cells),
                    self._natural(self.draws.swapaxes(0, 1))[None],
                )
            },
            coords={
                "chain": [0],
                "draw": np.arange(self.draws.shape[1]),
                "language": list(self.languages),
                "coefficient": list(self.law.names),
                "best": (cells, self._natural(self.theta)),
                "frozen": (cells, self.frozen),
            },
            attrs={"law": self.law.name, "summary": self.summary()},
        )

    def _natural(self, theta: np.ndarray) -> np.ndarray:
        """Vectors theta (..., p) as the coefficients themselves."""
        log = np.array([c.log for c in self.law.coefficients])
        return np.where(log, np.exp(np.where(log, theta, 0.0)), theta)

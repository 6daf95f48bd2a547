"""How fits are looked at: one language of them, a table of coefficients, a line for a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..formatting import quantity, quoted
from ..laws import Law

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    import pandas as pd

_NAMED = 4  # languages in a line


class FitsViews:
    """What `Fits` can be asked beside what it says itself, which is used here."""

    law: Law
    languages: tuple[str, ...]
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
        names = [languages] if isinstance(languages, str) else list(languages)
        rows = [self.index(name) for name in names]
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

    def _repr_html_(self) -> str:
        """For notebooks: the line, and values with a column a language."""
        frame = self.to_frame().head(len(self.law.names) * _NAMED)
        wide = frame.pivot(index="coefficient", columns="language", values="value")
        html: str = wide.reindex(list(self.law.names)).to_html(float_format="{:.4g}".format)
        return f"<p>{escape(self.summary())}</p>{html}"

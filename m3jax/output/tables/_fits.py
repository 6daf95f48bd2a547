"""Tables of fits: languages, coefficients, and what pooled languages have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import formatting
from ._table import Table, plain_column

if TYPE_CHECKING:
    from ...fitting import Fits, Population


def languages_table(fits: Fits) -> Table:
    """One row a language, those that could not be fitted last."""
    return Table(
        title=f"Law {fits.law.name}: fit of {fits.settings['source']}",
        columns=(
            plain_column("language"),
            plain_column("n_runs", "runs"),
            plain_column("r2", "R²", lambda x: f"{x:.4f}"),
            plain_column("objective", "objective", lambda x: f"{x:.6g}"),
            plain_column("huber_delta", "Huber delta", lambda x: f"{x:.3g}"),
            plain_column("widening", "widened", lambda x: f"{x:.1f}×"),
            plain_column("status"),
        ),
        rows=[{"language": name, **entry} for name, entry in fits.to_dict()["languages"].items()],
    )


def coefficients_table(fits: Fits, language: str) -> Table:
    """One row a coefficient of one language."""
    drawn = fits.draws.shape[1] > 0
    values, spans = fits.coefficients(language), fits.intervals(language)
    frozen, level = fits.frozen[fits.index(language)], formatting.level(fits.settings["level"])

    def span(name: str, held: bool) -> str:
        low, high = spans[name]
        return "held" if held else f"{low:.4g} to {high:.4g}" if drawn else formatting.MISSING

    return Table(
        title=f"Coefficients{f' of {language}' if len(fits.languages) > 1 else ''}",
        columns=(
            plain_column("coefficient"),
            plain_column("value", "value", lambda x: f"{x:.6g}"),
            plain_column("interval", f"{level} interval" if drawn else "interval"),
            plain_column("meaning", left=True, prose=True),
        ),
        rows=[
            {
                "coefficient": c.name,
                "value": values[c.name],
                "interval": span(c.name, bool(held)),
                "meaning": c.meaning,
            }
            for c, held in zip(fits.law.coefficients, frozen, strict=True)
        ],
    )


def population_table(fits: Fits, population: Population) -> Table:
    """One row a coefficient that pooled languages have in common."""
    pooled = dict(zip(population.names, 1 - population.rho, strict=True))
    return Table(
        title=(f"What {population.languages} languages have in common ({population.pool} pooling)"),
        columns=(
            plain_column("coefficient"),
            plain_column("range", "a further language's, one sd"),
            plain_column("pooled", "pooled", formatting.share),
        ),
        rows=[
            {"coefficient": name, "range": f"{low:.4g} to {high:.4g}", "pooled": pooled[name]}
            for name, (low, high) in population.ranges(fits.law).items()
        ],
        notes=(population.status,),
    )

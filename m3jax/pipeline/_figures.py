"""The figures of a run as files, for slides and papers; the report draws its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .._errors import M3Error
from ..comparison import HeldOut
from ..files import file_name
from ..fitting import Diagnosis, Fits
from ..optimization import Position, Recommendations
from ..runs import RunTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
MOST_PICTURED = 4  # languages; a folder with hundreds of pictures helps nobody


def check_figures(form: str) -> None:
    """Raise `M3Error` on an unknown format, or without matplotlib."""
    from ..output.figures import new_figure

    if form not in FORMATS:
        raise M3Error(f"figures: expected {' or '.join(FORMATS)}, got {form!r}")
    new_figure(1, 1, "")


def draw(
    form: str,
    runs: RunTable,
    fits: Fits,
    recommendations: Recommendations | None,
    diagnoses: Mapping[str, Diagnosis],
    held_out: Sequence[HeldOut],
) -> dict[str, bytes]:
    """File name -> content, of the first languages' figures."""
    from ..output.figures import to_png, to_svg

    write = to_png if form == "png" else to_svg
    drawn = _figures(runs, fits, recommendations, diagnoses, held_out)
    return {f"{name}.{form}": write(figure) for name, figure in drawn}


def pictured(recommendations: Recommendations, place: int) -> Position | None:
    """The middle of what was asked of a language: where most users look first."""
    feasible = list(zip(*recommendations.feasible[place].nonzero(), strict=True))
    if not feasible:
        return None
    budget, size = feasible[len(feasible) // 2]
    return place, int(budget), int(size)


def _figures(
    runs: RunTable,
    fits: Fits,
    recommendations: Recommendations | None,
    diagnoses: Mapping[str, Diagnosis],
    held_out: Sequence[HeldOut],
) -> Iterator[tuple[str, Figure]]:
    from ..output.figures import (
        comparison_figures,
        fit_quality,
        loss_surface,
        recipes_by_corpus,
        residuals_by_variable,
    )

    yield "fit_quality", fit_quality(fits, runs)
    languages = fits.languages if recommendations is None else recommendations.languages
    for i, language in enumerate(languages[:MOST_PICTURED]):
        name = file_name(language)
        yield f"residuals_{i}_{name}", residuals_by_variable(diagnoses[language], runs)
        position = None if recommendations is None else pictured(recommendations, i)
        if recommendations is not None and position is not None:
            yield f"recipes_{i}_{name}", recipes_by_corpus(recommendations, language)
            yield f"surface_{i}_{name}", loss_surface(fits, recommendations, position, runs=runs)
    for name, (_, figure) in comparison_figures(runs, held_out).items():
        yield name, figure

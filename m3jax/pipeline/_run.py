"""`run`: a configuration from run table to recipes, pictures and report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from .. import formatting
from .._errors import M3Error
from .._progress import Progress, silent
from ..comparison import HeldOut, Score, check_comparison, predict_held_out, score
from ..export import training_plan
from ..files import check_place, csv_text, encoded, file_name, json_text
from ..fitting import Diagnosis, Fits, diagnose, fit
from ..optimization import Position, Recommendations, optimize, swaying_runs
from ..runs import RunTable
from ._config import RunConfig


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What `run` found and the files it wrote; no recommendations where none were asked for."""

    runs: RunTable
    fits: Fits
    scores: list[Score]
    recommendations: Recommendations | None
    diagnoses: dict[str, Diagnosis]
    files: tuple[Path, ...]


def run(config: RunConfig, *, progress: Progress | None = None) -> RunResult:
    """Read, fit, compare, optimize, and write everything into the configuration's output folder.

    Files: `fits.json` with `fits.npz`, `scores.json`, PNG pictures, `report.html` and, where
    recipes are asked for, `recipes.csv` and `plan.json`. All results exist before the first file
    is written, and all files are written or none. Pictures need matplotlib. Raises `M3Error` on bad
    input, and where there are results already and the configuration does not say `overwrite`.
    """
    from ..output.figures import comparison_figures, new_figure, to_png
    from ..output.html import report_page

    new_figure(1, 1, "")  # without matplotlib, fail before the work and not after
    report = progress or silent
    _check_output(config)
    runs = RunTable.read(config.runs_path, **config.runs)
    if config.compare:
        check_comparison(**config.compare)
    fits = fit(runs, progress=progress, **config.fit)
    fits.require_any()
    recommendations = None
    if config.optimize is not None:
        recommendations = optimize(fits, progress=progress, **config.optimize)
    scores: list[Score] = []
    held_out: list[HeldOut] = []
    if config.compare is not None:
        names = ("huber_delta", "starts", "prior", "seed")
        shared = {name: value for name, value in config.fit.items() if name in names}
        held_out = predict_held_out(runs, progress=progress, **{**config.compare, **shared})
        scores = score(
            runs, held_out, **{n: shared[n] for n in ("huber_delta", "seed") if n in shared}
        )

    diagnoses = diagnose(fits, runs)
    swayed = tuple(_swayed(fits, runs, recommendations))
    report("drawing", 0, 1)
    pictures = _pictures(runs, fits, recommendations, diagnoses)
    drawn = comparison_figures(runs, held_out)
    pictures |= {name: (text, to_png(figure)) for name, (text, figure) in drawn.items()}
    report("drawing", 1, 1)
    page = report_page(
        title=config.title,
        fits=fits,
        recommendations=recommendations,
        scores=scores,
        figures=dict(pictures.values()),
        diagnoses=diagnoses,
        notes=(*runs.notes, *swayed),
    )
    texts = {"scores.json": json_text([score.to_dict() for score in scores])}
    if recommendations is not None:
        texts["recipes.csv"] = csv_text(recommendations.records())
        texts["plan.json"] = json_text(training_plan(recommendations))
    texts["report.html"] = page
    out = config.output
    files = {out / f"{name}.png": png for name, (_, png) in pictures.items()}
    files |= {out / name: encoded(text) for name, text in texts.items()}
    fits.save(out / _FITS, beside=files)
    return RunResult(
        runs, fits, scores, recommendations, diagnoses, (out / _FITS, out / _ARRAYS, *files)
    )


def _swayed(fits: Fits, runs: RunTable, recommendations: Recommendations | None) -> Iterator[str]:
    """In words, which of the recipes that are pictured hang on one or two runs."""
    if recommendations is None:
        return
    shown = [
        position
        for place in range(min(len(recommendations.languages), _MOST_PICTURED))
        for position in (_pictured(recommendations, place),)
        if position is not None
    ]
    found = swaying_runs(fits, runs, recommendations, positions=shown)
    for position, sway in found.items():
        i, j, t = position
        where = (
            f"{recommendations.languages[i]}, {formatting.flop(recommendations.compute[j])} FLOP,"
            f" {formatting.count(recommendations.target_tokens[i, t])} tokens"
        )
        yield f"{where}: the recipe {sway.in_words(recommendations.at(*position))}"


def _pictured(recommendations: Recommendations, place: int) -> Position | None:
    """The middle of what was asked of a language: where most users look first."""
    feasible = list(zip(*recommendations.feasible[place].nonzero(), strict=True))
    if not feasible:
        return None
    budget, size = feasible[len(feasible) // 2]
    return place, int(budget), int(size)


_FITS, _ARRAYS = "fits.json", "fits.npz"
_RESULTS = (_FITS, _ARRAYS, "scores.json", "recipes.csv", "plan.json", "report.html")


def _check_output(config: RunConfig) -> None:
    """Raise `M3Error`, before the work, if the results cannot stand where they shall."""
    for name in _RESULTS:
        check_place(config.output / name)
        if not config.overwrite and (config.output / name).exists():
            raise M3Error(
                f"{config.output}: holds results already ({name}); name another folder with -o, or"
                " replace them with --overwrite (in the configuration, overwrite = true)"
            )


_MOST_PICTURED = 4  # languages; a report with hundreds of pictures helps nobody


def _pictures(
    runs: RunTable,
    fits: Fits,
    recommendations: Recommendations | None,
    diagnoses: dict[str, Diagnosis],
) -> dict[str, tuple[str, bytes]]:
    """File name -> (caption, PNG)."""
    from ..output.figures import (
        fit_quality,
        residuals_by_variable,
        to_png,
    )

    pictures = {
        "fit_quality": (
            "How well the law fits the runs: predicted against measured loss, and residuals",
            to_png(fit_quality(fits, runs)),
        )
    }
    languages = fits.languages if recommendations is None else recommendations.languages
    for i, language in enumerate(languages[:_MOST_PICTURED]):
        name = file_name(language)
        pictures[f"residuals_{i}_{name}"] = (
            f"{language}: how far each run lies from the fit, against what varies in the runs",
            to_png(residuals_by_variable(diagnoses[language], runs)),
        )
        if recommendations is not None:
            pictures |= {
                f"{kind}_{i}_{name}": picture
                for kind, picture in _recipe_pictures(runs, fits, recommendations, i).items()
            }
    return pictures


def _recipe_pictures(
    runs: RunTable, fits: Fits, recommendations: Recommendations, place: int
) -> dict[str, tuple[str, bytes]]:
    """Kind -> (caption, PNG), of the language at a place of the recommendations."""
    from ..output.figures import loss_surface, recipes_by_corpus, to_png

    language = recommendations.languages[place]
    position = _pictured(recommendations, place)
    if position is None:
        return {}
    surface = loss_surface(fits, recommendations, position, runs=runs)
    return {
        "recipes": (
            f"{language}: best recipe against corpus size, with"
            f" {recommendations.level:.0%} intervals",
            to_png(recipes_by_corpus(recommendations, language)),
        ),
        "surface": (
            f"{language}: predicted loss around the best recipe, all compute spent",
            to_png(surface),
        ),
    }

"""`run`: a configuration from run table to recipes, pictures and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .._progress import Progress, silent
from ..comparison import HeldOut, Score, check_comparison, predict_held_out, score
from ..export import write_plan, write_recipes
from ..files import write_bytes, write_json
from ..fitting import Diagnosis, Fits, diagnose, fit
from ..optimization import Recommendations, optimize
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
    is written. Pictures need matplotlib. Raises `M3Error` on bad input.
    """
    from ..output import write_report
    from ..output.figures import comparison_figures, new_figure, to_png

    new_figure(1, 1, "")  # without matplotlib, fail before the work and not after
    report = progress or silent
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
    report("drawing", 0, 1)
    pictures = _pictures(runs, fits, recommendations, diagnoses)
    drawn = comparison_figures(runs, held_out)
    pictures |= {name: (text, to_png(figure)) for name, (text, figure) in drawn.items()}
    report("drawing", 1, 1)
    out = config.output
    files = [
        fits.save(out / "fits.json"),
        out / "fits.npz",
        write_json(out / "scores.json", [score.to_dict() for score in scores]),
    ]
    if recommendations is not None:
        files.append(write_recipes(out / "recipes.csv", recommendations))
        files.append(write_plan(out / "plan.json", recommendations))
    files += [write_bytes(out / f"{name}.png", png) for name, (_, png) in pictures.items()]
    files.append(
        write_report(
            out / "report.html",
            title=config.title,
            fits=fits,
            recommendations=recommendations,  # type: ignore[arg-type]
            scores=scores,
            figures=dict(pictures.values()),
            diagnoses=diagnoses,
            notes=runs.notes,
        )
    )
    return RunResult(runs, fits, scores, recommendations, diagnoses, tuple(files))


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
        name = "".join(c if c.isalnum() else "_" for c in language)
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
    feasible = list(zip(*recommendations.feasible[place].nonzero(), strict=True))
    if not feasible:
        return {}
    # The middle of what was asked is where most users look first.
    budget, size = feasible[len(feasible) // 2]
    surface = loss_surface(fits, recommendations, (place, budget, size), runs=runs)
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

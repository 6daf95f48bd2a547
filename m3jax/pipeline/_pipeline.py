"""`run`: a configuration from run table to recipes, pictures and report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .._progress import Progress, silent
from ..comparison import HeldOut, Score, check_comparison, predict_held_out, score
from ..export import write_plan, write_recipes
from ..files import write_bytes, write_text
from ..fitting import Diagnosis, Fits, diagnose, fit
from ..optimization import Recommendations, optimize
from ..runs import RunTable
from ._config import Config


@dataclasses.dataclass(frozen=True)
class PipelineResult:
    """What `run` found and the files it wrote."""

    runs: RunTable
    fits: Fits
    scores: list[Score]
    recommendations: Recommendations
    diagnoses: dict[str, Diagnosis]
    files: tuple[Path, ...]


def run(config: Config, *, progress: Progress | None = None) -> PipelineResult:
    """Read, fit, compare, optimize, and write everything into the configuration's output folder.

    Files: `fits.json` with `fits.npz`, `scores.json`, `recipes.csv`, `plan.json`, PNG pictures and
    `report.html`. All results exist before the first file is written. Pictures need matplotlib.
    Raises `M3Error` on bad input.
    """
    from ..output import write_report
    from ..output.figures import comparison_figures, new_figure, to_png

    new_figure(1, 1, "")  # without matplotlib, fail before the work and not after
    report = progress or silent
    runs = RunTable.read(config.runs_path, **config.runs).drop_highest(config.drop_highest)
    if config.compare:
        check_comparison(**config.compare)
    fits = fit(runs, progress=progress, **config.fit)
    fits.require_any()
    asked = dict(config.optimize)
    if "source_fits" in asked:
        asked["source_fits"] = Fits.load(asked["source_fits"])
    recommendations = optimize(fits, progress=progress, **asked)
    scores: list[Score] = []
    found: list[HeldOut] = []
    if config.compare is not None:
        names = ("huber_delta", "starts", "prior", "seed")
        shared = {name: value for name, value in config.fit.items() if name in names}
        found = predict_held_out(runs, progress=progress, **{**config.compare, **shared})
        scores = score(
            runs, found, **{n: shared[n] for n in ("huber_delta", "seed") if n in shared}
        )

    diagnoses = diagnose(fits, runs)
    report("drawing", 0, 1)
    pictures = _pictures(runs, fits, recommendations, diagnoses)
    drawn = comparison_figures(runs, found)
    pictures |= {name: (text, to_png(figure)) for name, (text, figure) in drawn.items()}
    report("drawing", 1, 1)
    out = config.output
    files = [
        fits.save(out / "fits.json"),
        out / "fits.npz",
        write_text(out / "scores.json", json.dumps([s.to_dict() for s in scores], indent=1) + "\n"),
        write_recipes(out / "recipes.csv", recommendations),
        write_plan(out / "plan.json", recommendations),
    ]
    for name, (_, png) in pictures.items():
        path = out / f"{name}.png"
        files.append(write_bytes(path, png))
    files.append(
        write_report(
            out / "report.html",
            title=config.title,
            fits=fits,
            recommendations=recommendations,
            scores=[s.to_dict() for s in scores],
            figures=dict(pictures.values()),
            diagnoses=diagnoses,
            notes=runs.notes,
        )
    )
    return PipelineResult(runs, fits, scores, recommendations, diagnoses, tuple(files))


_MOST_PICTURED = 4  # languages; a report with hundreds of pictures helps nobody


def _pictures(
    runs: RunTable,
    fits: Fits,
    recommendations: Recommendations,
    diagnoses: dict[str, Diagnosis],
) -> dict[str, tuple[str, bytes]]:
    """File name -> (caption, PNG)."""
    from ..output.figures import (
        fit_quality,
        loss_surface,
        recipes_by_corpus,
        residuals_by_variable,
        to_png,
    )

    pictures = {
        "fit_quality": (
            "How well the law fits the runs: predicted against measured loss, and residuals",
            to_png(fit_quality(fits, runs)),
        )
    }
    for i, language in enumerate(recommendations.languages[:_MOST_PICTURED]):
        slug = "".join(c if c.isalnum() else "_" for c in language)
        pictures[f"residuals_{i}_{slug}"] = (
            f"{language}: how far each run lies from the fit, against what varies in the runs",
            to_png(residuals_by_variable(diagnoses[language], runs)),
        )
        feasible = list(zip(*recommendations.feasible[i].nonzero(), strict=True))
        if not feasible:
            continue
        figure = recipes_by_corpus(recommendations, language)
        pictures[f"recipes_{i}_{slug}"] = (
            f"{language}: best recipe against corpus size, with"
            f" {recommendations.level:.0%} intervals",
            to_png(figure),
        )
        # The middle of what was asked is where most users look first.
        budget, size = feasible[len(feasible) // 2]
        figure = loss_surface(fits, recommendations, (i, budget, size), runs=runs)
        pictures[f"surface_{i}_{slug}"] = (
            f"{language}: predicted loss around the best recipe, all compute spent",
            to_png(figure),
        )
    return pictures

"""`run`: a configuration from run table to recipes, pictures and report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from .. import formatting
from .._errors import M3Error
from .._progress import Progress, silent
from ..comparison import HeldOut, Score, check_comparison, predict_held_out, score
from ..design import NextRuns, next_runs
from ..export import training_plan
from ..files import check_place, csv_text, encoded, json_text
from ..fitting import Diagnosis, Fits, diagnose, fit
from ..optimization import Recommendations, optimize, swaying_runs
from ..options import Limits
from ..runs import RunTable
from ._config import RunConfig
from ._figures import MOST_PICTURED, check_figures, draw, pictured


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What `run` found and the files it wrote; no recommendations where none were asked for."""

    runs: RunTable
    fits: Fits
    scores: list[Score]
    recommendations: Recommendations | None
    diagnoses: dict[str, Diagnosis]
    proposals: list[NextRuns]
    files: tuple[Path, ...]


def run(config: RunConfig, *, progress: Progress | None = None, command: str = "") -> RunResult:
    """Read, fit, compare, optimize, and write everything into the configuration's output folder.

    Files: `fits.json` with `fits.npz`, `scores.json`, `report.html` and, where recipes are asked
    for, `recipes.csv` and `plan.json`; for further runs `next.csv`; with `figures` pictures, which
    need matplotlib. All results exist before the first file is written, and all files are written
    or none. `command` is what the report says it was made by. Raises `M3Error` on bad input, and
    where there are results already and the configuration does not say `overwrite`.
    """
    from ..output.html import report_page

    if config.figures:
        check_figures(config.figures)  # fail before the work and not after
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
    proposals = _proposals(config, fits, recommendations, report)
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
    # Which are what the grades come from: not twice.
    grades = tuple(diagnoses[name].grade for name in fits.languages)
    fits = dataclasses.replace(fits, grading=lambda: grades)
    swayed = tuple(_swayed(fits, runs, recommendations))
    pictures = {}
    if config.figures:
        report("drawing", 0, 1)
        pictures = draw(config.figures, runs, fits, recommendations, diagnoses, held_out)
        report("drawing", 1, 1)
    page = report_page(
        title=config.title,
        fits=fits,
        recommendations=recommendations,
        scores=scores,
        runs=runs,
        diagnoses=diagnoses,
        proposals=proposals,
        notes=(*runs.notes, *swayed),
        command=command,
    )
    texts = {"scores.json": json_text([score.to_dict() for score in scores])}
    if recommendations is not None:
        texts["recipes.csv"] = csv_text(recommendations.records())
        texts["plan.json"] = json_text(training_plan(recommendations))
    if proposals:
        texts["next.csv"] = csv_text([row for sheet in proposals for row in sheet.records()])
    texts["report.html"] = page
    out = config.output
    files = {out / name: picture for name, picture in pictures.items()}
    files |= {out / name: encoded(text) for name, text in texts.items()}
    fits.save(out / _FITS, beside=files)
    return RunResult(
        runs,
        fits,
        scores,
        recommendations,
        diagnoses,
        proposals,
        (out / _FITS, out / _ARRAYS, *files),
    )


def _proposals(
    config: RunConfig, fits: Fits, recommendations: Recommendations | None, report: Progress
) -> list[NextRuns]:
    """Further runs of each language, for its first recipe of the largest budget if not told others.

    That is the recipe which the report begins with; for all of a grid it would take minutes.
    """
    if config.next is None:
        return []
    asked = config.optimize or {}
    limits = {name: value for name, value in asked.items() if name in Limits.names()}
    languages = fits.languages if recommendations is None else recommendations.languages
    found = []
    for i, language in enumerate(languages):
        report("proposing runs", i, len(languages))
        recipe: dict[str, float] = {}
        if recommendations is not None:
            recipe["compute"] = float(recommendations.compute.max())
            recipe["target_tokens"] = float(recommendations.target_tokens[i, 0])
        found.append(next_runs(fits, language=language, **{**limits, **recipe, **config.next}))
    report("proposing runs", len(languages), len(languages))
    return found


def _swayed(fits: Fits, runs: RunTable, recommendations: Recommendations | None) -> Iterator[str]:
    """In words, which of the recipes that are pictured hang on one or two runs."""
    if recommendations is None:
        return
    shown = [
        position
        for place in range(min(len(recommendations.languages), MOST_PICTURED))
        for position in (pictured(recommendations, place),)
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


_FITS, _ARRAYS = "fits.json", "fits.npz"
_RESULTS = (_FITS, _ARRAYS, "scores.json", "recipes.csv", "plan.json", "next.csv", "report.html")


def _check_output(config: RunConfig) -> None:
    """Raise `M3Error`, before the work, if the results cannot stand where they shall."""
    for name in _RESULTS:
        check_place(config.output / name)
        if not config.overwrite and (config.output / name).exists():
            raise M3Error(
                f"{config.output}: holds results already ({name}); name another folder with -o, or"
                " replace them with --overwrite (in the configuration, overwrite = true)"
            )

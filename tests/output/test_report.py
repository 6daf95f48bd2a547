"""Figures and the report: complete, self-contained, safe with any name, whole or not at all."""

import dataclasses
import os
import re
import sys
from html import escape
from pathlib import Path

import jax
import numpy as np
import pytest

from m3jax import M3Error, formatting
from m3jax.comparison import Score
from m3jax.fitting import Fits, Scope
from m3jax.laws import get_law
from m3jax.optimization import Recommendations, optimize
from m3jax.output import write_report
from m3jax.output.figures import fit_quality, log_ticks, loss_surface, recipes_by_corpus, to_png
from m3jax.recipe import Recipe
from m3jax.runs import RunTable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ODD = '<b>&"$x^{ _'  # HTML and half of a formula

TRUTH = {
    "E": 0.6, "A": 60.0, "alpha": 0.4, "B": 40.0, "beta": 0.3, "gamma": 0.08, "eta": -0.02,
    "P": 0.01, "delta": 1.0, "kappa": 0.2, "omega": 0.4, "theta": 0.3, "R": 40.0, "tau": 0.05,
}  # fmt: skip


def _runs(languages: tuple[str, ...]) -> RunTable:
    rng = np.random.default_rng(0)
    n = 40 * len(languages)
    ratio = rng.choice([0.1, 0.3, 1.0], n)
    two = (rng.random(n) < 0.4) & (ratio < 1)
    recipe = Recipe.create(
        n_params=rng.choice([4e4, 2e5], n),
        target_tokens=rng.choice([1e4, 1e5], n),
        epochs=rng.choice([0.5, 4.0, 32.0], n),
        target_ratio=ratio,
        final_ratio=np.where(two, np.minimum(3 * ratio, 1.0), ratio),
    )
    with jax.enable_x64(True):
        loss = np.asarray(get_law("m3").loss(TRUTH, recipe)) * np.exp(rng.normal(0, 0.01, n))
    return RunTable(
        language=np.array([languages[i % len(languages)] for i in range(n)]),
        run_id=np.arange(n).astype(str),
        recipe=recipe,
        loss=loss,
        weight=np.ones(n),
        seed=None,
        row=np.arange(1, n + 1),
        source="runs.csv",
    )


def _fits(runs: RunTable, draws: int) -> Fits:
    """The truth with draws around it: what a fit would give, without its time to compile."""
    law, names = get_law("m3"), runs.languages
    with jax.enable_x64(True):
        theta = np.tile(np.asarray(law.to_theta(TRUTH)), (len(names), 1))
    jitter = np.random.default_rng(1).normal(0, 0.02, (len(names), draws, theta.shape[1]))
    per_language = np.ones(len(names))
    frozen = np.zeros(theta.shape, dtype=bool)
    frozen[:, -1] = True
    return Fits(
        law=law,
        languages=names,
        theta=theta,
        draws=theta[:, None] + jitter,
        frozen=frozen,
        objective=0.01 * per_language,
        r2=0.97 * per_language,
        n_runs=40 * per_language.astype(int),
        converged=per_language.astype(bool),
        agreement=per_language,
        prior_mean=theta,
        prior_precision=np.zeros((*theta.shape, theta.shape[1])),
        prior_weight=0.0 * per_language,
        scopes=tuple(Scope.of(runs.for_language(name).recipe) for name in names),
        messages=tuple(("R < 1 is at its lower bound",) for _ in names),
        failed={"Rare & <new>": (3, "3 runs are too few for 14 coefficients")},
        settings={
            "huber_delta": 1e-3, "starts": 8, "draws": draws, "level": 0.9, "seed": 7,
            "fixed": {"tau": 0.05}, "source": "runs.csv", "notes": ["2 runs dropped"],
        },
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    runs: RunTable
    fits: Fits
    found: Recommendations
    undrawn: Recommendations


@pytest.fixture(scope="module")
def case() -> Case:
    runs = _runs((ODD, "日本語"))
    fits = _fits(runs, draws=4)
    # The first budget is too small for the larger corpora, even with the smallest model.
    found = optimize(
        fits,
        compute=[3e9, 1e12, 4e12],
        target_tokens=[1e4, 4e4, 1e5, 4e5],
        epochs=(1, 32),
        draws=0,
    )
    assert not found.feasible.all()
    return Case(runs, fits, _with_draws(found), found)


def _take(found: Recommendations, budgets, sizes) -> Recommendations:
    """The recommendations at some budgets and sizes, which may repeat."""
    budgets = np.arange(len(found.compute))[budgets]
    sizes = np.arange(found.target_tokens.shape[1])[sizes]

    def take(value):
        if isinstance(value, Recipe):
            return jax.tree.map(take, value)
        whole = isinstance(value, np.ndarray) and value.shape[:3] == found.feasible.shape
        return value[:, budgets][:, :, sizes] if whole else value

    values = {f.name: take(getattr(found, f.name)) for f in dataclasses.fields(found)}
    values["compute"], values["target_tokens"] = (
        found.compute[budgets],
        found.target_tokens[:, sizes],
    )
    return Recommendations(**values | {"outside": {}})


def _with_draws(found: Recommendations) -> Recommendations:
    """As if bootstrap draws had been solved too, without the time to compile that."""
    k = np.arange(3)
    return dataclasses.replace(
        found,
        n_draws=4,
        recipe_low=jax.tree.map(lambda leaf: 0.8 * leaf, found.recipe),
        recipe_high=jax.tree.map(
            lambda leaf: np.minimum(1.3 * leaf, np.maximum(leaf, 1)), found.recipe
        ),
        loss_low=0.95 * found.loss,
        loss_high=1.1 * found.loss,
        regime_share=np.where(found.regime[..., None] == k, 0.75, 0.125),
    )


def _position(found: Recommendations, language: int = 0) -> tuple[int, int, int]:
    j, t = np.argwhere(found.feasible[language])[-1].tolist()
    return language, j, t


def _png(figure) -> bytes:
    png = to_png(figure, dpi=40)
    assert png.startswith(SIGNATURE)
    return png


def test_fit_quality_of_languages_with_odd_names(case):
    _png(fit_quality(case.fits, case.runs))


def test_fit_quality_of_one_language_and_of_many():
    one = _runs(("Ewe",))
    _png(fit_quality(_fits(one, draws=0), one))
    many = _runs(tuple(f"language {i}" for i in range(12)))
    figure = fit_quality(_fits(many, draws=0), many)
    _png(figure)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "4 more languages" in texts


def test_fit_quality_leaves_out_languages_that_were_not_fitted(case):
    stranger = dataclasses.replace(
        case.runs, language=np.where(np.arange(len(case.runs)) < 5, "Rare & <new>", ODD)
    )
    figure = fit_quality(case.fits, stranger)
    assert f"{len(stranger) - 5} runs" in figure.get_suptitle()
    nobody = dataclasses.replace(case.runs, language=np.full(len(case.runs), "Rare & <new>"))
    with pytest.raises(M3Error, match="fitted language"):
        fit_quality(case.fits, nobody)


@pytest.mark.parametrize("language", [0, 1])
@pytest.mark.parametrize("with_runs", [False, True])
def test_loss_surface(case, language, with_runs):
    position = _position(case.found, language)
    runs = case.runs if with_runs else None
    _png(loss_surface(case.fits, case.found, position, runs=runs))


def test_loss_surface_passes_through_the_recommended_loss(case):
    # With the whole budget spent, N follows from k and r, and at the star it is the recipe's.
    recipe = case.found.at(*_position(case.found))
    n_params = recipe.compute * recipe.target_ratio / (6 * recipe.epochs * recipe.target_tokens)
    assert n_params == pytest.approx(recipe.n_params, rel=1e-9)
    loss = case.fits.predict(recipe, ODD)
    assert loss == pytest.approx(case.found.loss[_position(case.found)], rel=1e-9)


def test_loss_surface_of_an_infeasible_position_says_why(case):
    position = tuple(np.argwhere(~case.found.feasible)[0].tolist())
    with pytest.raises(M3Error, match="compute"):
        loss_surface(case.fits, case.found, position)


ONE = slice(-1, None)
ALL = slice(None)


@pytest.mark.parametrize(
    ("budgets", "sizes"), [(ALL, ALL), (ALL, ONE), (ONE, ALL), (ONE, ONE), (slice(1), ALL)]
)
@pytest.mark.parametrize("draws", [True, False])
def test_recipes_by_corpus(case, budgets, sizes, draws):
    found = _take(case.found if draws else case.undrawn, budgets, sizes)
    for language in found.languages:
        figure = recipes_by_corpus(found, language)
        _png(figure)
        by_compute = len(found.compute) > 1 and found.target_tokens.shape[1] == 1
        below = figure.axes[-1].get_xlabel()
        assert below == ("compute, FLOP" if by_compute else "unique target tokens")


def test_recipes_by_corpus_of_an_unknown_language(case):
    with pytest.raises(M3Error, match="'Ewe'"):
        recipes_by_corpus(case.found, "Ewe")


def test_figures_without_draws(case):
    fits = dataclasses.replace(case.fits, draws=case.fits.draws[:, :0])
    _png(loss_surface(fits, case.undrawn, _position(case.undrawn)))


def test_missing_matplotlib_is_told(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: fit_quality(case.fits, case.runs),
        lambda: loss_surface(case.fits, case.found, _position(case.found)),
        lambda: recipes_by_corpus(case.found, ODD),
    ):
        with pytest.raises(M3Error, match=re.escape("pip install 'm3jax[plot]'")):
            draw()


def test_figures_leave_the_global_style_alone(case):
    import matplotlib

    before = dict(matplotlib.rcParams)
    _png(recipes_by_corpus(case.found, ODD))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("low", "high"), [(0.9, 1.1), (36_000, 48_000), (1, 70), (0.05, 1), (1e9, 1e21), (2, 3.2)]
)
def test_ticks_are_few_and_inside(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


SCORES = [
    Score("m3", ODD, "most epochs", 30, 10, mae=0.01234, mean_relative_error=0.0056, r2=0.91),
    Score(
        "chinchilla",
        "日本語",
        "most epochs",
        3,
        0,
        mean_relative_error=float("nan"),
        message="too few runs <3>",
    ),
]


def _write(path: Path, case: Case, **changes) -> str:
    options = {
        "title": f"Recipes for {ODD}",
        "fits": case.fits,
        "recommendations": case.found,
        "scores": SCORES,
        "figures": {},
        "notes": ["Bytes, not <tokens>."],
    }
    assert write_report(path, **options | changes) == path
    return path.read_text(encoding="utf-8")


def test_report_is_one_file_with_everything_in_it(case, tmp_path):
    pictures = {
        "Measured against predicted": _png(fit_quality(case.fits, case.runs)),
        'Recipes of <b>&"': _png(recipes_by_corpus(case.found, ODD)),
    }
    text = _write(tmp_path / "report.html", case, figures=pictures)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    for caption in pictures:
        assert f'alt="{escape(caption)}"' in text
    assert text.count('src="data:image/png;base64,') == 2
    text = re.sub(r"base64,[^\"]*", "base64", text)
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("data:") for link in links)
    assert "http" not in text
    assert "url(" not in text
    for name in (*case.fits.languages, *case.fits.failed):
        assert escape(name) in text
    assert "<b>" not in text
    assert "<new>" not in text
    assert "Bytes, not &lt;tokens&gt;." in text
    assert "too few runs &lt;3&gt;" in text
    assert "3 runs are too few" in text
    assert "arXiv:2410.12325v2 was not available" in text
    assert "no recipe is allowed: compute" in text
    assert "0.0123" in text
    assert "0.56%" in text
    assert not re.search(r"\b(nan|inf|None)\b", text)
    sections = re.findall(r"<h2>(.*?)</h2>", text)
    assert sections[:3] == ["Recommended recipes", "Figures", "The fit"]
    assert sections[-2:] == ["Caveats", "Settings and versions"]


def test_report_answers_first(case, tmp_path):
    text = _write(tmp_path / "report.html", case)
    answer = re.search(r'<p class="answer">(.*?)</p>', text)[1]
    i, j, t = 0, 2, int(np.argmax(case.found.feasible[0, 2]))
    row = case.found.records()[np.ravel_multi_index((i, j, t), case.found.feasible.shape)]
    for part in (escape(ODD), "4e+12 FLOP", row["regime"], formatting.loss(row["loss"]), "90%"):
        assert part in answer
    assert "compute budget" in answer


def test_report_without_draws_scores_or_figures(case, tmp_path):
    fits = dataclasses.replace(case.fits, draws=case.fits.draws[:, :0])
    text = _write(tmp_path / "a.html", case, fits=fits, recommendations=case.undrawn, scores=[])
    assert "No bootstrap draws were made" in text
    assert "No hold-out comparison was made" in text
    assert "90% interval" not in text


def test_report_of_many_rows_points_to_the_table(case, tmp_path):
    found = _take(case.found, [1] * 30, [0, 1, 2, 3])
    text = _write(tmp_path / "report.html", case, recommendations=found, scores=SCORES * 150)
    assert f"The first 200 of {found.feasible.size} rows; recipes.csv has them all." in text
    assert "The first 200 of 300 rows." in text
    assert text.count("<tr>") < 500


class _Broken(dict):
    def items(self):
        raise RuntimeError("the figure could not be drawn")


def test_nothing_is_written_when_a_figure_fails(case, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError, match="drawn"):
        _write(path, case, figures=_Broken(a=SIGNATURE))
    for bad in (b"GIF89a", "text", None):
        with pytest.raises(M3Error, match="figure 'bad'"):
            _write(path, case, figures={"bad": bad})
    assert path.read_text(encoding="utf-8") == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_to_is_told(case, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(M3Error, match="cannot be written"):
        _write(tmp_path / "file" / "report.html", case)
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o555)
        with pytest.raises(M3Error, match="cannot be written"):
            _write(locked / "report.html", case)
        assert not list(locked.iterdir())

"""Made-up fits and recommendations of languages with odd names, without the time of a fit."""

import dataclasses

import jax
import numpy as np

from m3jax.fitting import Fits, Scope
from m3jax.laws import get_law
from m3jax.optimization import Recommendations, optimize
from m3jax.output.figures import to_png
from m3jax.recipe import Recipe
from m3jax.runs import RunTable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMPARED_LAWS = ("chinchilla", "kaplan", "multilingual")
ODD = '<b>&"$x^{ _'  # HTML and half of a formula

TRUTH = {
    "E": 0.6, "A": 60.0, "alpha": 0.4, "B": 40.0, "beta": 0.3, "gamma": 0.08, "eta": -0.02,
    "P": 0.01, "delta": 1.0, "kappa": 0.2, "omega": 0.4, "theta": 0.3, "R": 40.0, "tau": 0.05,
}  # fmt: skip


def runs_of(languages: tuple[str, ...]) -> RunTable:
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


def fits_of(runs: RunTable, draws: int) -> Fits:
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
        bends=np.zeros((len(names), draws, 5)),
        edges=np.zeros((len(names), 2, 5)),
        frozen=frozen,
        objective=0.01 * per_language,
        r2=0.97 * per_language,
        n_runs=40 * per_language.astype(int),
        converged=per_language.astype(bool),
        grading=lambda: ("usable",) * len(names),
        agreement=per_language,
        huber_delta=1e-3 * per_language,
        noise=0.005 * per_language,
        noise_powers=np.zeros((len(names), 2)),
        noise_middle=np.zeros((len(names), 2)),
        widening=per_language,
        prior_mean=theta,
        prior_precision=np.zeros((*theta.shape, theta.shape[1])),
        prior_weight=0.0 * per_language,
        scopes=tuple(Scope.of(runs.for_language(name).recipe) for name in names),
        messages=tuple(("R < 1 is at its lower bound",) for _ in names),
        failed={"Rare & <new>": (3, "3 runs are too few for 14 coefficients")},
        settings={
            "huber_delta": None, "starts": 8, "draws": draws, "level": 0.9, "seed": 7,
            "intervals": "bootstrap", "fixed": {"tau": 0.05}, "source": "runs.csv",
            "notes": ["2 runs dropped"], "reading": {},
        },
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    runs: RunTable
    fits: Fits
    found: Recommendations
    undrawn: Recommendations


def a_case() -> Case:
    """Two languages with odd names."""
    runs = runs_of((ODD, "日本語"))
    fits = fits_of(runs, draws=4)
    # The first budget is too small for even the smallest model on the least text.
    found = optimize(
        fits,
        compute=[1e4, 1e12, 4e12],
        target_tokens=[1e4, 4e4, 1e5, 4e5],
        epochs=(1, 32),
        draws=0,
    )
    assert not found.feasible.all()
    return Case(runs, fits, with_draws(found), found)


def take(found: Recommendations, budgets, sizes) -> Recommendations:
    """The recommendations at some budgets and sizes, which may repeat."""
    budgets = np.arange(len(found.compute))[budgets]
    sizes = np.arange(found.target_tokens.shape[1])[sizes]

    def part(value):
        if isinstance(value, Recipe):
            return jax.tree.map(part, value)
        whole = isinstance(value, np.ndarray) and value.shape[:3] == found.feasible.shape
        return value[:, budgets][:, :, sizes] if whole else value

    values = {f.name: part(getattr(found, f.name)) for f in dataclasses.fields(found)}
    values["compute"], values["target_tokens"] = (
        found.compute[budgets],
        found.target_tokens[:, sizes],
    )
    return Recommendations(**values)


def with_draws(found: Recommendations) -> Recommendations:
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


def last_position(found: Recommendations, language: int = 0) -> tuple[int, int, int]:
    j, t = np.argwhere(found.feasible[language])[-1].tolist()
    return language, j, t


def png_of(figure) -> bytes:
    png = to_png(figure, dpi=40)
    assert png.startswith(SIGNATURE)
    return png

"""Synthetic languages with known coefficients: the truth that studies are held against."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from m3jax.laws import get_law
from m3jax.recipe import Recipe
from m3jax.runs import RunTable

TRUE_LAWS = ("m3", "m3_posynomial", "chinchilla")  # that can be the truth
_SIMPLER = {"gamma": 0.0, "eta": 0.0, "P": 1e-60}  # coefficients of `m3` where it is `chinchilla`


def true_theta(languages: int, seed: int, law: str = "m3") -> np.ndarray:
    """Coefficient vectors for made-up but plausible languages, shape (languages, p).

    Each term is given its size in the middle of the runs (N = 1e8, D = 3e9, D_T = 1e8, k = 8). Of
    `m3`, or `m3_posynomial` where that is the `law`; `chinchilla` is `m3` at a limit, p = 14.
    """
    limit = _SIMPLER if law == "chinchilla" else {}
    rng = np.random.default_rng([seed, 0])

    def between(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, languages)

    alpha, beta, delta, kappa, omega = (
        between(*span) for span in ((0.3, 0.45), (0.3, 0.45), (1.6, 3.0), (0.3, 0.9), (0.5, 1.0))
    )
    scale, tau = between(30, 200), between(0.05, 0.5)
    worn = 1 - scale * np.expm1(-7 / scale)  # rho at k = 8
    coefficients = {
        "E": between(1.6, 2.2),
        "A": between(0.3, 0.8) * 1e8**alpha,
        "alpha": alpha,
        "B": between(0.3, 0.8) * 3e9**beta,
        "beta": beta,
        "gamma": between(0.02, 0.1),
        "eta": between(-0.02, 0.02),
        "P": between(0.05, 0.2) / (worn**delta * 1e8**kappa * 3e8**-omega),
        "delta": delta,
        "kappa": kappa,
        "omega": omega,
        "theta": between(-0.3, 0.5),
        "R": scale,
        "tau": tau,
    } | {name: np.full(languages, value) for name, value in limit.items()}
    with jax.enable_x64(True):
        true_law = get_law(_true_law(law))
        coefficients["zeta"] = np.zeros(languages)
        return np.asarray(true_law.to_theta({name: coefficients[name] for name in true_law.names}))


def _true_law(law: str) -> str:
    return "m3" if law == "chinchilla" else law


def true_loss(theta: np.ndarray, recipe: Recipe, law: str = "m3") -> np.ndarray:
    """The noiseless loss, nats per token: theta (p,) for one language, (L, 1, p) for (L, n)."""
    with jax.enable_x64(True):
        recipe = jax.tree.map(jnp.asarray, recipe)
        true_law = get_law(_true_law(law))
        return np.asarray(jnp.exp(true_law.log_loss_theta(jnp.asarray(theta), recipe)))


def _draw_variables(runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The variables of a sensible set of small runs, (runs,) each, as `draw_recipes` has them."""
    ratio = np.where(rng.random(runs) < 0.25, 1.0, np.exp(rng.uniform(np.log(0.05), 0.0, runs)))
    first = ratio * rng.choice([0.0, 0.3], runs)
    fraction = rng.uniform(0.1, 0.6, runs)
    final = np.minimum(first + (ratio - first) / fraction, 1.0)
    is_two_stage = (rng.random(runs) < 0.4) & (ratio < 0.9)
    return {
        "n_params": rng.choice([1e7, 3e7, 1e8, 3e8, 1e9], runs),
        "target_tokens": rng.choice([1e7, 3e7, 1e8, 3e8, 1e9], runs),
        "epochs": np.exp(rng.uniform(0.0, np.log(64.0), runs)),
        "target_ratio": ratio,
        "final_ratio": np.where(is_two_stage, final, ratio),
        "first_ratio": np.where(is_two_stage, first, ratio),
    }


def draw_recipes(runs: int, rng: np.random.Generator) -> Recipe:
    """The recipes of a sensible set of small runs: all four variables vary, a third two-stage."""
    return Recipe.create(**_draw_variables(runs, rng))


def run_table(theta: np.ndarray, runs: int, noise: float, seed: int, law: str = "m3") -> RunTable:
    """`runs` noisy runs of every language in `theta` (L, p); noise is the sd of the log loss."""
    # Each language has its own stream, so that its runs do not depend on how many there are.
    variables, scatter = [], []
    for i in range(len(theta)):
        rng = np.random.default_rng([seed, 1, i])
        variables.append(_draw_variables(runs, rng))
        scatter.append(rng.standard_normal(runs))
    recipe = Recipe.create(
        **{name: np.stack([leaves[name] for leaves in variables]) for name in variables[0]}
    )
    loss = true_loss(theta[:, None], recipe, law) * np.exp(noise * np.stack(scatter))
    names = [f"language{i:04d}" for i in range(len(theta))]
    frame = pd.DataFrame(
        {
            "language": np.repeat(names, runs),
            **{name: leaf.ravel() for name, leaf in vars(recipe).items()},
            "loss": loss.ravel(),
            "seed": np.arange(loss.size),
        }
    )
    return RunTable.from_frame(frame)

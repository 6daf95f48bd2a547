"""Do the bootstrap's intervals agree with those of a fully Bayesian fit?

    pip install 'm3jax[bayes]'
    python -m benchmarks.studies.bayes --json

One made-up language of the Chinchilla law, small enough to sample: the No-U-Turn sampler of numpyro
with the same weak prior and Laplace errors of unknown scale, which is what the Huber loss stands
for where the noise exceeds its delta. Intervals of the coefficients and of the loss at larger
models are compared.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.support.script import new_parser, parse, print_result
from benchmarks.support.synthetic import draw_recipes
from m3jax import Recipe, RunTable, fit, get_law
from m3jax.fitting import interval
from m3jax.fitting.problem import ParameterSpace

TRUTH = {"E": 1.8, "A": 400.0, "alpha": 0.34, "B": 1500.0, "beta": 0.36}


def laplace_runs(count: int, noise: float, seed: int) -> RunTable:
    """Runs of the true law with Laplace noise of standard deviation `noise`."""
    import pandas as pd

    rng = np.random.default_rng([seed, 5])
    recipe = draw_recipes(count, rng)
    error = rng.laplace(0.0, noise / np.sqrt(2), count)
    loss = np.asarray(get_law("chinchilla").loss(TRUTH, recipe)) * np.exp(error)
    # One epoch over unique text: the law sees model size and total tokens alone.
    frame = {"n_params": recipe.n_params, "total_tokens": recipe.total_tokens, "loss": loss}
    return RunTable.from_frame(pd.DataFrame(frame))


def posterior(runs: RunTable, samples: int, seed: int) -> np.ndarray:
    """Posterior samples of theta, (samples, p)."""
    import numpyro
    import numpyro.distributions as dist

    law = get_law("chinchilla")
    log_loss = np.log(runs.loss)
    space = ParameterSpace.of(
        law, runs.recipe, float(log_loss.mean()), np.ones(len(law.names), dtype=bool)
    )

    def model() -> None:
        prior = dist.TruncatedNormal(
            space.prior_mean, space.prior_sd, low=space.lower, high=space.upper
        )
        x = numpyro.sample("x", prior.to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(0.1))
        predicted = law.log_loss_theta(space.centre @ x, runs.recipe)
        numpyro.sample("log_loss", dist.Laplace(predicted, scale), obs=jnp.asarray(log_loss))

    sampler = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model),
        num_warmup=samples,
        num_samples=samples,
        progress_bar=False,
    )
    sampler.run(jax.random.key(seed))
    return np.asarray(sampler.get_samples()["x"]) @ space.centre.T


def study(*, runs: int, noise: float, draws: int, samples: int, seed: int) -> dict[str, Any]:
    """Everything that `main` prints."""
    table = laplace_runs(runs, noise, seed)
    fits = fit(table, "chinchilla", draws=draws, seed=seed)
    with jax.enable_x64(True):
        sampled = posterior(table, samples, seed)
    larger = Recipe.create(n_params=1e10, target_tokens=1e11, epochs=1.0, target_ratio=1.0)
    law, level = fits.law, fits.settings["level"]
    intervals: dict[str, Any] = {}
    for name, by_bootstrap, by_posterior in (
        *((n, fits.draws[0, :, i], sampled[:, i]) for i, n in enumerate(law.names)),
        ("loss_at_1e10", *(np.asarray(_log_loss(t, larger)) for t in (fits.draws[0], sampled))),
    ):
        (a, b), (c, d) = interval(by_bootstrap, level), interval(by_posterior, level)
        intervals[name] = {
            "bootstrap": [float(a), float(b)],
            "posterior": [float(c), float(d)],
            "width_ratio": float((b - a) / (d - c)),
            "centre_shift": float(((a + b) - (c + d)) / (d - c)),
        }
    return {
        "law": law.name,
        "runs": runs,
        "noise": noise,
        "draws": draws,
        "samples": samples,
        "level": level,
        "unit": "theta: logarithms of E, A and B; log loss",
        "intervals": intervals,
    }


def _log_loss(thetas: np.ndarray, recipe: Recipe) -> np.ndarray:
    law = get_law("chinchilla")
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(lambda t: law.log_loss_theta(t, recipe))(jnp.asarray(thetas)))


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for name, row in result["intervals"].items():
        spans = "  ".join(
            f"{key} {row[key][0]:.4f} to {row[key][1]:.4f}" for key in ("bootstrap", "posterior")
        )
        print(f"{name:13} {spans}  width {row['width_ratio']:.2f} of the posterior's")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--noise", type=float, default=0.01, help="sd of the log loss")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    options, as_json = parse(parser)
    return print_result(study(**options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

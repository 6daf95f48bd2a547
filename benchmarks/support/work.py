"""The work that m3jax and its peers are timed on: made-up languages, in the same space for all."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from benchmarks.support.measure import PLATFORMS
from benchmarks.support.residuals import Residuals
from benchmarks.support.synthetic import TRUE_LAWS, run_table, true_theta
from m3jax import RunTable
from m3jax.fitting.problem import ParameterSpace
from m3jax.laws import LogSpaceLaw, get_law
from m3jax.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Work:
    """Languages with known coefficients; every process that is given one makes the same table.

    Attributes:
        law: fitted, and the truth: a name in `synthetic.TRUE_LAWS`.
        languages: how many.
        runs: per language.
        noise: sd of the log loss.
        delta: Huber delta of the fit, in log loss.
        seed: of coefficients, runs and starts.
    """

    law: str
    languages: int
    runs: int
    noise: float
    delta: float
    seed: int


def add_work_options(parser: argparse.ArgumentParser) -> None:
    """The options that make a `Work`, but for `--seed`, and the device it is timed on."""
    parser.add_argument("--languages", type=int, default=300)
    parser.add_argument("--runs", type=int, default=100, help="per language")
    parser.add_argument(
        "--law", choices=list(TRUE_LAWS), default="m3", help="fitted, and the truth"
    )
    parser.add_argument("--noise", type=float, default=0.005, help="sd of the log loss")
    parser.add_argument("--delta", type=float, default=1e-3, help="Huber delta of the fit")
    parser.add_argument("--device", choices=list(PLATFORMS), default="cpu")


def take_work(options: dict[str, Any]) -> Work:
    """The `Work` among a script's options, taken out of them.

    With an accelerator, this process computes on the CPU from here on: the accelerator is left,
    whole, to the processes that are timed.
    """
    if options["device"] != "cpu":
        jax.config.update("jax_platforms", "cpu")
    return Work(**{field.name: options.pop(field.name) for field in dataclasses.fields(Work)})


@functools.lru_cache(maxsize=1)
def run_table_of(work: Work) -> RunTable:
    """The run table, made once in a process."""
    theta = true_theta(work.languages, work.seed, work.law)
    return run_table(theta, work.runs, work.noise, work.seed + 1, work.law)


@functools.lru_cache(maxsize=1)
def peer_problem(work: Work) -> PeerProblem:
    """The same for the peers, made once in a process."""
    return PeerProblem.of(work)


@dataclasses.dataclass(frozen=True)
class PeerProblem:
    """The objective, bounds and start ranges of m3jax's bare fit (`prior="none"`), as arrays.

    All peers search in m3jax's centred variables x, theta = centre @ x: the scaling is half of
    what makes these fits easy, and is not what is compared.

    Attributes:
        law: the law.
        recipe: leaves (L, n).
        log_loss: measured, (L, n).
        centre: (L, p, p).
        lower, upper: bounds of x, (L, p).
        start_low, start_high: starts are drawn from here, (L, p).
        delta: Huber delta, in log loss.
        seed: of the starts.
    """

    law: LogSpaceLaw
    recipe: Recipe
    log_loss: np.ndarray
    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    start_low: np.ndarray
    start_high: np.ndarray
    delta: float
    seed: int

    @classmethod
    def of(cls, work: Work) -> PeerProblem:
        law = get_law(work.law)
        assert isinstance(law, LogSpaceLaw)
        # The table holds equally many runs of every language, one language after the other.
        shape = (work.languages, work.runs)
        table = run_table_of(work)
        recipe = jax.tree.map(lambda leaf: leaf.reshape(shape), table.recipe)
        log_loss = np.log(table.loss).reshape(shape)
        free = np.ones(len(law.names), dtype=bool)
        with jax.enable_x64(True):
            spaces = [
                ParameterSpace.of(
                    law,
                    jax.tree.map(lambda leaf, i=i: leaf[i], recipe),
                    float(log_loss[i].mean()),
                    free,
                )
                for i in range(work.languages)
            ]
        return cls(
            law=law,
            recipe=recipe,
            log_loss=log_loss,
            centre=np.stack([s.centre for s in spaces]),
            lower=np.stack([s.lower for s in spaces]),
            upper=np.stack([s.upper for s in spaces]),
            start_low=np.stack([s.start_low for s in spaces]),
            start_high=np.stack([s.start_high for s in spaces]),
            delta=work.delta,
            seed=work.seed,
        )

    def residuals(self, language: int) -> Residuals:
        """The NumPy form of one language."""
        return Residuals.of(
            self.law.names,
            self.law.terms,
            self.law.diluting,
            {name: leaf[language] for name, leaf in vars(self.recipe).items()},
            self.log_loss[language],
            self.centre[language],
            delta=self.delta,
            lower=self.lower[language],
            upper=self.upper[language],
            start_low=self.start_low[language],
            start_high=self.start_high[language],
        )

    def starts(self, count: int) -> np.ndarray:
        """Random starting points (L, count, p); fewer are the first of more."""
        shape = (count, self.lower.shape[1])
        unit = [
            np.random.default_rng([self.seed, 2, i]).random(shape) for i in range(len(self.lower))
        ]
        low, high = self.start_low[:, None], self.start_high[:, None]
        return low + (high - low) * np.stack(unit)

    def to_x(self, theta: np.ndarray) -> np.ndarray:
        """Solver variables (L, p) of coefficient vectors (L, p)."""
        return np.linalg.solve(self.centre, theta[..., None])[..., 0]

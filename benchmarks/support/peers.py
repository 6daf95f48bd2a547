"""Peers that fit one language at a time: SciPy's optimisers and two packages from PyPI.

All minimise what `m3jax.fit(..., prior="none")` minimises, in the same variables and bounds from
the same starts, but for `simple-scaling-laws`, whose objective is its own. Preparing the arrays is
not timed, nor is starting the worker processes; m3jax is timed end to end.
"""

from __future__ import annotations

import dataclasses
import importlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.optimize import least_squares, leastsq, minimize

from benchmarks.support.measure import environment
from benchmarks.support.residuals import Residuals, huber

# residuals, start (p,), effort -> x (p,)
Method = Callable[[Residuals, np.ndarray, float], np.ndarray]


def robust(residuals: Residuals, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sign(e)·√(2·weight·Huber(e)) (n,), whose half sum of squares is the objective, at x.

    And its derivative by e, (n,).
    """
    e = residuals(x)
    clipped = np.minimum(np.abs(e), residuals.delta)
    root = np.sqrt(2 * huber(e, residuals.delta))
    weight = np.sqrt(residuals.weight)
    slope = np.divide(clipped, root, out=np.ones_like(root), where=root > 0)
    return weight * np.copysign(root, e), weight * slope


class _Sine:
    """`robust` and its Jacobian without bounds: x goes through them as the sine of u."""

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals
        self.middle = (residuals.lower + residuals.upper) / 2
        self.half = (residuals.upper - residuals.lower) / 2

    def to_u(self, x: np.ndarray) -> np.ndarray:
        # On a bound the sine has no slope and would hold x there.
        return np.arcsin(np.clip((x - self.middle) / self.half, -0.999, 0.999))

    def to_x(self, u: np.ndarray) -> np.ndarray:
        return self.middle + self.half * np.sin(u)

    def function(self, u: np.ndarray) -> np.ndarray:
        self.x = self.to_x(u)
        values, self.slope = robust(self.residuals, self.x)
        return values

    def transposed_jacobian(self, u: np.ndarray) -> np.ndarray:
        # MINPACK asks for it only where it has just asked for the function.
        jacobian = self.residuals.transposed_jacobian(self.x)
        return jacobian * self.slope * (self.half * np.cos(u))[:, None]


def minpack(residuals: Residuals, start: np.ndarray, tolerance: float) -> np.ndarray:
    """MINPACK's Levenberg–Marquardt, which SciPy calls `leastsq`, on `robust`; bounds by a sine.

    The fastest of the SciPy formulations that were tried, more than ten times as fast as
    `trf_huber`. `least_squares(method="lm")` is the same with a wrapper that costs a fifth of the
    time; `trf` on the same residuals takes twice the time.
    """
    sine = _Sine(residuals)
    u, *_ = leastsq(
        sine.function,
        sine.to_u(start),
        Dfun=sine.transposed_jacobian,
        col_deriv=True,
        ftol=tolerance,
        xtol=tolerance,
        gtol=0.0,
        maxfev=2000,
        factor=0.1,  # a short first step: all of 480 starts arrived; with the default, 98.5%
        full_output=True,
    )
    return sine.to_x(u)


def trf_huber(residuals: Residuals, start: np.ndarray, tolerance: float) -> np.ndarray:
    """`least_squares` as its manual has it: bounds, `loss="huber"`, exact Jacobian.

    SciPy gives runs beyond delta no curvature, which leaves few runs to step by.
    """
    solution = least_squares(
        residuals,
        start,
        jac=lambda x: residuals.transposed_jacobian(x).T,
        bounds=(residuals.lower, residuals.upper),
        loss="huber",
        f_scale=residuals.delta,
        x_scale="jac",
        ftol=tolerance,
        xtol=tolerance,
        gtol=None,
        max_nfev=2000,
    )
    return solution.x


def lbfgsb(residuals: Residuals, start: np.ndarray, tolerance: float) -> np.ndarray:
    """`minimize(method="L-BFGS-B")` with the exact gradient."""
    delta = residuals.delta

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        e = residuals(x)
        gradient = residuals.transposed_jacobian(x) @ (residuals.weight * np.clip(e, -delta, delta))
        # Divided by delta², or the stopping test, absolute below one, ends it at once.
        return residuals.weight @ huber(e, delta) / delta**2, gradient / delta**2

    solution = minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([residuals.lower, residuals.upper]),
        options={"maxcor": 50, "ftol": tolerance, "gtol": 1e-9, "maxiter": 5000, "maxfun": 10000},
    )
    return solution.x


def _centred(residuals: Residuals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N and D over their geometric means, and the loss, of a Chinchilla-law language."""
    return (
        np.exp(-residuals.linear[1, :, 2]),
        np.exp(-residuals.linear[2, :, 4]),
        np.exp(residuals.log_loss),
    )


def chinchilla(residuals: Residuals, starts: np.ndarray) -> np.ndarray:
    """The package `chinchilla`: BFGS with numeric gradients from a grid of starts, no bounds.

    The grid has as many points as there are `starts`, in the box that these came from, first
    along the exponents. The picture that the package draws of every fit is left out.
    """
    package = importlib.import_module("chinchilla")
    import pandas as pd

    doublings = int(np.log2(len(starts)))
    low, high = residuals.start_low, residuals.start_high
    grid = {}
    # Where each is in x, in the order in which the package takes them, and its turn to be doubled.
    for name, i, turn in (("e", 0, 4), ("a", 1, 2), ("b", 3, 3), ("alpha", 2, 0), ("beta", 4, 1)):
        points = 2 ** ((doublings + 4 - turn) // 5)
        middles = (np.arange(points) + 0.5) / points
        grid[name] = tuple((low[i] + (high[i] - low[i]) * middles).tolist())
    n_params, tokens, loss = _centred(residuals)
    delta = residuals.delta

    def objective(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return huber(np.log(predicted) - np.log(measured), delta) / delta**2

    with tempfile.TemporaryDirectory() as folder:
        tool = package.Chinchilla(
            folder,
            param_grid=grid,
            loss_fn=objective,
            log_level=100,
        )
        tool.visualizer.optim = lambda *_, **__: None
        tool.database.df = pd.DataFrame(
            {"C": 6 * n_params * tokens, "N": n_params, "D": tokens, "loss": loss}
        )
        tool.fit(parallel=len(starts) > 1)
    fitted = tool.get_params()
    logs = {name: np.log(fitted[name]) for name in ("E", "A", "B")}
    return np.array([logs["E"], logs["A"], fitted["alpha"], logs["B"], fitted["beta"]])


def simple_scaling_laws(residuals: Residuals) -> np.ndarray:
    """The package `simple-scaling-laws`: weighted squares of the loss, its own grid of starts."""
    package = importlib.import_module("simple_scaling_laws")
    polars = importlib.import_module("polars")
    n_params, tokens, loss = _centred(residuals)
    frame = polars.DataFrame(
        {
            "training_run_id": [f"run{i}" for i in range(len(loss))],
            "model_size__n": n_params,
            "dataset_size__d": tokens,
            "test_loss__nats": loss,
        }
    )
    model = package.fit(frame, law="separable-power", n_draws=1)
    fitted = model.params("test_loss__nats")
    domain = model.observed_domain
    # It quotes amplitudes at its own middle of the runs.
    a = np.log(fitted["A"]) + fitted["alpha"] * np.log(domain["model_size__n"]["reference"])
    b = np.log(fitted["B"]) + fitted["beta"] * np.log(domain["dataset_size__d"]["reference"])
    return np.array([np.log(fitted["E"]), a, fitted["alpha"], b, fitted["beta"]])


def _best_of_starts(method: Method) -> Method:
    """A solver from one start (p,), run from all starts (S, p): the lowest objective wins."""

    def fit(residuals: Residuals, starts: np.ndarray, effort: float) -> np.ndarray:
        ends = [method(residuals, start, effort) for start in starts]
        return min(ends, key=residuals.objective)

    return fit


@dataclasses.dataclass(frozen=True)
class Peer:
    """How a peer fits one language.

    Attributes:
        fit: residuals, starts (S, p), effort -> x (p,).
        efforts: settings that trade time for quality, all tried; `effort` says what they are.
        package: import name of what has to be installed, and the name pip knows it by.
        law: the only one it fits, if there is one.
        takes_starts: how many there are makes a difference.
        own_processes: it spreads the fit of a language over all cores by itself.
    """

    fit: Callable[[Residuals, np.ndarray, float], np.ndarray]
    efforts: tuple[float, ...] = (0.0,)
    effort: str = "none"
    package: tuple[str, str] = ("scipy", "scipy")
    law: str | None = None
    takes_starts: bool = True
    own_processes: bool = False


PEERS = {
    "scipy_least_squares": Peer(_best_of_starts(minpack), (1e-4, 1e-5, 1e-6), "tolerance"),
    "scipy_huber": Peer(_best_of_starts(trf_huber), (1e-5, 1e-6, 1e-8), "tolerance"),
    "scipy_lbfgsb": Peer(_best_of_starts(lbfgsb), (1e-6, 1e-7, 1e-9), "tolerance"),
    "chinchilla": Peer(
        lambda residuals, starts, _: chinchilla(residuals, starts),
        package=("chinchilla", "chinchilla"),
        law="chinchilla",
        own_processes=True,
    ),
    "simple_scaling_laws": Peer(
        lambda residuals, starts, _: simple_scaling_laws(residuals),
        package=("simple_scaling_laws", "simple-scaling-laws"),
        law="chinchilla",
        takes_starts=False,
    ),
}

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Pool:
    """Worker processes that are up before anything is timed, with BLAS on one thread each."""

    def __init__(self, residuals: Sequence[Residuals], workers: int) -> None:
        self.workers = workers
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(workers, context, _set_residuals, (residuals,))
        with environment(dict.fromkeys(_ONE_THREAD, "1")):
            processes: set[int] = set()
            while len(processes) < workers:
                processes |= set(self.executor.map(_process_id, range(4 * workers)))

    def fit(self, peer: str, effort: float, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Best x (l, p) from `starts` (l, S, p), and the seconds (l,) that each language took."""
        count = len(starts)
        jobs = self.executor.map(_fit, [peer] * count, range(count), [effort] * count, starts)
        x, seconds = zip(*jobs, strict=True)
        return np.stack(x), np.array(seconds)

    def close(self) -> None:
        self.executor.shutdown()


_residuals: Sequence[Residuals] = ()


def _set_residuals(residuals: Sequence[Residuals]) -> None:
    global _residuals
    _residuals = residuals


def _process_id(_: int) -> int:
    time.sleep(0.02)  # long enough for every worker to get a turn
    return os.getpid()


def _fit(peer: str, language: int, effort: float, starts: np.ndarray) -> tuple[np.ndarray, float]:
    """In a worker: the fit, and the seconds it took; importing the package is not among them."""
    importlib.import_module(PEERS[peer].package[0])
    began = time.perf_counter()
    with np.errstate(all="ignore"):
        x = PEERS[peer].fit(_residuals[language], starts, effort)
    return x, time.perf_counter() - began

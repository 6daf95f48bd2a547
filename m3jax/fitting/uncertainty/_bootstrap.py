"""Bootstrap draws: every language refitted to resampled runs, from its best fit."""

from __future__ import annotations

import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..._batching import take_rows, worker_count
from ..._progress import Progress
from ..engine import Descents, FitData, Resample, Solution

_ROUNDS, _TOLERANCE = (7, 3, 8, 40), 1e-4
_LEAST_ROOT = 0.5  # of chi-squared over its freedom, cubed: draws are at most 2.8 times as wide
_REFITS_AT_ONCE, _RUNS_AT_ONCE = 50_000, 10_000_000  # held in memory, the latter of all refits
_RUNS, _PRIOR = 0, 1  # what random numbers are for


class BootstrapSource(NamedTuple):
    """What draws are made from; a batch has a leading axis on every leaf.

    Attributes:
        seed: of the language's random numbers, (2,), see `language_seed`.
        cluster: number of the cluster a run belongs to, 0, 1, ..., (n,).
        weight, log_loss: of the runs, zero weight on padding, (n,).
        fitted: log loss at the best fit, (n,).
        residual: what a run's log loss is above the fit to the other clusters, (n,).
        member: indices of the runs, cluster by cluster, (n,).
        place: of a run within its cluster, 0, 1, ..., (n,).
        first, size: of each cluster, where in `member` it begins and how many runs it has, (n,).
        power: of the exponential weights of each draw, see `weight_power`, (draws,).
        widening: how many times wider than by resampling alone each draw lies, (draws,).
        prior_mean: (p,).
        prior_factor: F with F @ F.T the covariance of the prior, (p, p).
        prior_freedom: degrees of freedom that the variances of the prior are known with, one for
            each column of the factor, (p,); infinite where they are no estimates.
    """

    seed: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray
    log_loss: np.ndarray
    fitted: np.ndarray
    residual: np.ndarray
    member: np.ndarray
    place: np.ndarray
    first: np.ndarray
    size: np.ndarray
    power: np.ndarray
    widening: np.ndarray
    prior_mean: np.ndarray
    prior_factor: np.ndarray
    prior_freedom: np.ndarray


def language_seed(seed: int, language: str) -> tuple[int, int]:
    """Of a language's random numbers: its draws do not depend on the other languages of a table."""
    return seed, zlib.crc32(language.encode())


def cluster_table(cluster: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of `BootstrapSource` that order the runs, from clusters and weights (L, n)."""
    n = cluster.shape[1]
    used = weight > 0
    # Runs without weight come last and belong to no cluster.
    member = np.argsort(np.where(used, cluster, n), axis=1, kind="stable")
    size = np.stack([np.bincount(c[u], minlength=n) for c, u in zip(cluster, used, strict=True)])
    first = np.cumsum(size, axis=1) - size
    rank = np.argsort(member, axis=1, kind="stable")
    place = np.where(used, rank - np.take_along_axis(first, cluster, axis=1), 0)
    return {"member": member, "place": place, "first": np.minimum(first, n - 1), "size": size}


def weight_power(
    clusters: np.ndarray, runs: np.ndarray, free: np.ndarray, widening: np.ndarray
) -> np.ndarray:
    """Power a of the exponential weights E^a of clusters, (L, draws).

    Of each language's clusters, runs and free coefficients, (L,), and the `widening` of each draw
    (L, draws).

    Exponential weights (a = 1) have variance 1, as in the plain Bayesian bootstrap. Where clusters
    are single runs that covers as it should, measured on synthetic truth. Where they are several
    runs each, fewer independent ones are left by comparison, and the weights' variance grows by the
    factor that the textbook's correction for degrees of freedom grows,

        Var[E^a] / E[E^a]² = Γ(1 + 2a) / Γ(1 + a)² − 1 = c² (1 − p/n) / (1 − p/G)

    for p free coefficients, n runs and G clusters, each fraction held above 1/4, and a draw that is
    to lie c times wider.
    """
    left = np.maximum(clusters - free, clusters / 4) / clusters
    variance = np.maximum(runs - free, runs / 4) / runs / left
    power = np.linspace(1.0, 4.0, 601)
    variances = [math.exp(math.lgamma(1 + 2 * a) - 2 * math.lgamma(1 + a)) - 1 for a in power]
    return np.interp(widening**2 * variance[:, None], variances, power)


def resample(source: BootstrapSource, draws: int, *, kind: str) -> Resample:
    """Draws of one language, leaves (draws, ...).

    "cluster": the Bayesian bootstrap (Rubin 1981). Each cluster g of G has its weight multiplied by
    G u_g / Σ u, with u exponential, or a power of it: see `weight_power`.

    "residual": the residual bootstrap (Efron 1979) by clusters. The losses are the fitted ones plus
    c times those residuals of another cluster, drawn with equal chance, that it has against the fit
    to all others (`Linearised.deleted_residual`), under one random sign (as in the wild bootstrap).

    Either way the prior's centre is drawn from the prior: were it fixed, what only the prior
    decides would look certain. Where its variances are estimates the draws are Student's t,
    m + F (z / √(χ²_ν / ν)) with F the prior's factor.
    """
    of_runs, of_prior = (np.random.default_rng([*source.seed, use]) for use in (_RUNS, _PRIOR))
    normal, spread = np.moveaxis(of_prior.standard_normal((draws, 2, len(source.prior_mean))), 1, 0)
    # Wilson & Hilferty 1931: the cube root of chi-squared over its freedom is nearly normal.
    rate = 2.0 / (9.0 * source.prior_freedom)
    chi = np.maximum(1.0 - rate + np.sqrt(rate) * spread, _LEAST_ROOT) ** 3
    prior_mean = source.prior_mean + (normal / np.sqrt(chi)) @ source.prior_factor.T
    count = np.count_nonzero(source.size)
    if kind == "cluster":
        share = of_runs.standard_exponential((draws, count))
        if np.any(source.power != 1):
            share **= source.power[:, None]
        share *= count / share.sum(axis=1, keepdims=True)
        # Runs of no weight belong to no cluster.
        weight = source.weight * share[:, np.minimum(source.cluster, count - 1)]
        return Resample(weight, np.broadcast_to(source.log_loss, weight.shape), prior_mean)
    donor, sign = np.moveaxis(of_runs.random((draws, count, 2)), 2, 0)
    donor = (donor * count).astype(np.int64)[:, source.cluster]
    sign = np.where(sign < 0.5, -1.0, 1.0)[:, source.cluster]
    place = source.place % np.maximum(source.size[donor], 1)
    donated = source.residual[source.member[source.first[donor] + place]]
    log_loss = source.fitted + source.widening[:, None] * sign * donated
    return Resample(np.broadcast_to(source.weight, log_loss.shape), log_loss, prior_mean)


def bootstrap(
    descents: Descents,
    x: np.ndarray,
    rivals: np.ndarray,
    data: FitData,
    source: BootstrapSource,
    draws: int,
    *,
    kind: str,
    report: Progress,
) -> np.ndarray:
    """Draws of the solver's variables, (L, draws, p): refits to resampled runs, see `resample`.

    Args:
        descents: of the law.
        x: the best fits that the refits start from, (L, 1 or draws, p). What `data.free` leaves out
            keeps the value it has there, which may differ from draw to draw.
        rivals: the best fit and the bottoms of other valleys, (L, K, p); the fit again where there
            is none. Refits start from there too, and the lower end is the draw.
        data: of the fits, leading axis L.
        source: what is resampled, leading axis L.
        draws: how many for each language.
        kind: "cluster" or "residual".
        report: progress.
    """
    count, _, p = x.shape
    out = np.empty((count, draws, p))
    if draws == 0 or count == 0:
        return out
    runs = data.weight.shape[1]
    step = max(1, min(_REFITS_AT_ONCE, _RUNS_AT_ONCE // runs) // draws)
    for begin in range(0, count, step):
        report("bootstrap", begin, count)
        rows = np.arange(begin, min(begin + step, count))
        with ThreadPoolExecutor(worker_count()) as pool:
            drawn_runs = pool.map(lambda i: resample(take_rows(source, i), draws, kind=kind), rows)
            resampled = Resample(*map(np.stack, zip(*drawn_runs, strict=True)))

        def refits(
            starts: np.ndarray, rows: np.ndarray, begin: int = begin, of: Resample = resampled
        ) -> Solution:
            starts = np.broadcast_to(starts, (len(rows), draws, p))
            return descents.descend(
                starts,
                take_rows(data, rows),
                _ROUNDS,
                _TOLERANCE,
                resampled=take_rows(of, rows - begin),
            )

        drawn = refits(x[rows], rows)
        for valley in range(1, rivals.shape[1]):
            there = (rivals[rows, valley] != rivals[rows, 0]).any(axis=1)
            if there.any():
                other = refits(rivals[rows[there], valley, None], rows[there])
                lower = other.value < drawn.value[there]
                drawn.x[there] = np.where(lower[..., None], other.x, drawn.x[there])
                drawn.value[there] = np.where(lower, other.value, drawn.value[there])
        out[rows] = drawn.x
    report("bootstrap", count, count)
    return out

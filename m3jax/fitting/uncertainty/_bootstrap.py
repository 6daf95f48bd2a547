"""Bootstrap draws: every language refitted to resampled runs, from its best fit."""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._batching import take_rows
from ..._progress import Progress
from ...recipe import Array
from ..engine import Descents, FitData, Resample, Solution, jit_over_devices

_ROUNDS, _TOLERANCE = (8, 4, 8, 40), 1e-4
_LEAST_ROOT = 0.5  # of chi-squared over its freedom, cubed: draws are at most 2.8 times as wide
_TASKS_AT_ONCE = 50_000  # refits held on the host


class BootstrapSource(NamedTuple):
    """What draws are made from; a batch has a leading axis on every leaf.

    Attributes:
        key: raw random key of the language, (2,) uint32.
        cluster: number of the cluster a run belongs to, 0, 1, ..., (n,).
        weight, log_loss: of the runs, zero weight on padding, (n,).
        fitted: log loss at the best fit, (n,).
        residual: what a run's log loss is above the fit to the other clusters, (n,).
        member: indices of the runs, cluster by cluster, (n,).
        place: of a run within its cluster, 0, 1, ..., (n,).
        first, size: of each cluster, where in `member` it begins and how many runs it has, (n,).
        power: of the exponential weights, see `weight_power`, ().
        prior_mean: (p,).
        prior_factor: F with F @ F.T the covariance of the prior, (p, p).
        prior_freedom: degrees of freedom that the variances of the prior are known with, one for
            each column of the factor, (p,); infinite where they are no estimates.
    """

    key: Array
    cluster: Array
    weight: Array
    log_loss: Array
    fitted: Array
    residual: Array
    member: Array
    place: Array
    first: Array
    size: Array
    power: Array
    prior_mean: Array
    prior_factor: Array
    prior_freedom: Array


def language_key(seed: int, language: str) -> np.ndarray:
    """A language's random key: its draws do not depend on the other languages of a table."""
    words = np.random.SeedSequence([seed, zlib.crc32(language.encode())]).generate_state(2)
    return words.astype(np.uint32)


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


def weight_power(clusters: np.ndarray, runs: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Power a of the exponential weights E^a of each language's clusters, all arrays (L,).

    Exponential weights (a = 1) have variance 1, as in the plain Bayesian bootstrap. Where clusters
    are single runs that covers as it should, measured on synthetic truth. Where they are several
    runs each, fewer independent ones are left by comparison, and the weights' variance grows by the
    factor that the textbook's correction for degrees of freedom grows,

        Var[E^a] / E[E^a]² = Γ(1 + 2a) / Γ(1 + a)² − 1 = (1 − p/n) / (1 − p/G)

    for p free coefficients, n runs and G clusters, each fraction held above 1/4.
    """
    left = np.maximum(clusters - free, clusters / 4) / clusters
    variance = np.maximum(runs - free, runs / 4) / runs / left
    power = np.linspace(1.0, 2.0, 201)
    variances = [math.exp(math.lgamma(1 + 2 * a) - 2 * math.lgamma(1 + a)) - 1 for a in power]
    return np.interp(variance, variances, power)


def resample(numbers: Array, source: BootstrapSource, *, kind: str) -> Resample:
    """Draws number `numbers` (R, K) of rows of one language each, `source` with leading axis R.

    "cluster": the Bayesian bootstrap (Rubin 1981). Each cluster g of G has its weight multiplied by
    G u_g / Σ u, with u exponential, or a power of it: see `weight_power`.

    "residual": the residual bootstrap (Efron 1979) by clusters. The losses are the fitted ones plus
    those residuals of another cluster, drawn with equal chance, that it has against the fit to all
    others (`Linearised.deleted_residual`), under one random sign (as in the wild bootstrap).

    Either way the prior's centre is drawn from the prior: were it fixed, what only the prior
    decides would look certain. Where its variances are estimates the draws are Student's t,
    m + F (z / √(χ²_ν / ν)) with F the prior's factor.
    """

    def resample_language(number: Array, source: BootstrapSource) -> Resample:
        n, p = source.weight.shape[0], source.prior_mean.shape[0]
        key = jax.random.fold_in(jax.random.wrap_key_data(source.key), number)
        for_runs, for_prior = jax.random.split(key)
        normal, spread = jax.random.normal(for_prior, (2, p), jnp.float32)
        # Wilson & Hilferty 1931: the cube root of chi-squared over its freedom is nearly normal.
        rate = 2.0 / (9.0 * source.prior_freedom)
        chi = jnp.maximum(1.0 - rate + jnp.sqrt(rate) * spread, _LEAST_ROOT) ** 3
        moved = source.prior_factor @ (normal / jnp.sqrt(chi))
        weight, log_loss = source.weight, source.log_loss
        if kind == "cluster":
            exists = jnp.zeros(n, bool).at[source.cluster].max(source.weight > 0)
            share = jax.random.exponential(for_runs, (n,), jnp.float32) ** source.power
            share = jnp.where(exists, share, 0.0)
            share = share * (jnp.sum(exists) / jnp.sum(share))
            weight = weight * share[source.cluster]
        else:
            for_donor, for_sign = jax.random.split(for_runs)
            count = jnp.sum(source.size > 0)
            share = jax.random.uniform(for_donor, (n,), jnp.float32)
            donor = jnp.minimum((share * count).astype(jnp.int32), count - 1)[source.cluster]
            place = source.place % jnp.maximum(source.size[donor], 1)
            sign = jax.random.rademacher(for_sign, (n,), jnp.float32)[source.cluster]
            donated = source.residual[source.member[source.first[donor] + place]]
            log_loss = source.fitted + sign * donated
        return Resample(weight, log_loss, source.prior_mean + moved)

    return jax.vmap(jax.vmap(resample_language, in_axes=(0, None)))(numbers, source)


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

    Compiled, in single precision: what that costs in accuracy is far below the spread of the draws.

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
    step = max(1, _TASKS_AT_ONCE // draws)
    for begin in range(0, count, step):
        report("bootstrap", begin, count)
        rows = np.arange(begin, min(begin + step, count))

        def refits(starts: np.ndarray, rows: np.ndarray) -> Solution:
            some = take_rows(data, rows), take_rows(source, rows)
            return _refits(descents, starts, *some, draws, kind)

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


def _refits(
    descents: Descents,
    starts: np.ndarray,
    data: FitData,
    source: BootstrapSource,
    draws: int,
    kind: str,
) -> Solution:
    """Every draw of L languages, leaves (L, draws, ...), from starts (L, 1 or draws, p)."""
    count, _, p = starts.shape
    run = jit_over_devices(resample, "kind")

    def resampled(tasks: np.ndarray, languages: np.ndarray) -> Resample:
        numbers = (tasks % draws).astype(np.int32)
        resamples: Resample = run(numbers, take_rows(source, languages), kind=kind)
        return resamples

    return descents.descend(
        np.broadcast_to(starts, (count, draws, p)), data, _ROUNDS, _TOLERANCE, resampler=resampled
    )

"""The languages of a table as one batch, and which coefficients each may be fitted with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from ..._batching import take_rows
from ...laws import Law
from ...recipe import Recipe
from ...runs import RunBatch
from ._prior import Prior
from ._scope import Scope, unmet_needs
from ._space import ParameterSpace

FEWEST_RUNS = 3  # of a language that takes from others, or from a prior, what its runs leave open
SPARE_RUNS = 2  # runs beyond the number of coefficients that a fit on its own must have


@dataclasses.dataclass
class FitProblem:
    """The languages that can be fitted, L of them, in one batch; n runs with padding.

    Attributes:
        languages: names.
        recipe: leaves (L, n).
        log_loss, weight: (L, n), zero weight on padding.
        cluster: (L, n).
        mask: real runs, (L, n).
        scopes: what each language's runs cover.
        held: values of the coefficients that are held, (L, p).
        free: (L, p).
        messages: per language.
        common: the centre (p, p) that all share, or None where each has the middle of its runs.
    """

    languages: tuple[str, ...]
    recipe: Recipe
    log_loss: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray
    mask: np.ndarray
    scopes: list[Scope]
    held: np.ndarray
    free: np.ndarray
    messages: list[list[str]]
    common: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> FitProblem:
        """Some of the languages."""
        return FitProblem(
            languages=tuple(self.languages[i] for i in rows),
            recipe=take_rows(self.recipe, rows),
            log_loss=self.log_loss[rows],
            weight=self.weight[rows],
            cluster=self.cluster[rows],
            mask=self.mask[rows],
            scopes=[self.scopes[i] for i in rows],
            held=self.held[rows],
            free=self.free[rows],
            messages=[list(self.messages[i]) for i in rows],
            common=self.common,
        )

    @property
    def mean_log_loss(self) -> np.ndarray:
        """Of each language's runs, (L,)."""
        return np.mean(self.log_loss, axis=1, where=self.mask)

    def space(self, law: Law) -> ParameterSpace:
        """The solver's space; it changes when coefficients are frozen."""
        return ParameterSpace.of(
            law, self.recipe, self.mean_log_loss, self.free, self.mask, self.common
        )


def prepare(
    law: Law, batch: RunBatch, fixed: Mapping[str, float], prior: Prior | None, pool: str
) -> tuple[FitProblem, dict[str, tuple[int, str]], str]:
    """The problem, the languages that cannot be fitted and why, and the pooling that is possible.

    With fewer than two languages to pool there is none.
    """
    stated = set(prior.ranges) - set(fixed) if prior else set()
    scopes = Scope.of_each(jax.tree.map(np.asarray, batch.recipe), np.asarray(batch.mask))
    grounds = {scope.varies for scope in scopes}
    if pool != "none":
        # Others can only tell what some language with enough runs tells.
        enough = _distinct(batch) >= FEWEST_RUNS
        grounds = {s.varies for s, e in zip(scopes, enough, strict=True) if e}
        if enough.sum() < 2:
            return prepare(law, batch, fixed, prior, "none")
    by_ground: dict[frozenset[str], tuple[np.ndarray, list[str]]] = {}
    borrowed: set[str] = set()
    if pool != "none":
        lacks = [
            unmet_needs(law, s, fixed)[0]
            for s in {scope.varies: scope for scope in scopes if scope.varies in grounds}.values()
        ]
        borrowed = {n for n in law.names if 0 < sum(n in lack for lack in lacks) < len(lacks)}
    # What to freeze follows from what varies, and few languages differ in that.
    for scope in scopes:
        if scope.varies not in by_ground:
            lacking, _ = unmet_needs(law, scope, fixed)
            frozen, told = unmet_needs(law, scope, {*fixed, *stated, *borrowed})
            for names, whence in (
                (lacking & borrowed, "taken from the other languages"),
                ((lacking & stated) - borrowed, "taken from the prior"),
            ):
                if names:
                    listed = ", ".join(n for n in law.names if n in names)
                    told.append(f"{listed} not determined by these runs: {whence}")
            free = np.array([n not in frozen and n not in fixed for n in law.names])
            by_ground[scope.varies] = free, told
    everyone = _everyone(law, batch, fixed, scopes, by_ground)
    failed = _too_few(law, everyone, stated, pool)
    able = np.array([i for i, n in enumerate(batch.languages) if n not in failed], dtype=int)
    problem = everyone.take(able)
    if pool != "none":
        problem.common = law.centre(jax.tree.map(lambda leaf: leaf[problem.mask], problem.recipe))
    return problem, failed, pool


def _everyone(
    law: Law,
    batch: RunBatch,
    fixed: Mapping[str, float],
    scopes: list[Scope],
    by_ground: Mapping[frozenset[str], tuple[np.ndarray, list[str]]],
) -> FitProblem:
    theta0 = law.theta_neutral()
    for name, value in fixed.items():
        j = law.names.index(name)
        theta0[j] = np.log(value) if law.coefficients[j].log else value
    return FitProblem(
        languages=batch.languages,
        recipe=jax.tree.map(np.asarray, batch.recipe),
        log_loss=np.log(np.asarray(batch.loss)),
        weight=np.asarray(batch.weight),
        cluster=np.asarray(batch.cluster),
        mask=np.asarray(batch.mask),
        scopes=scopes,
        held=np.tile(theta0, (len(scopes), 1)),
        free=np.stack([by_ground[scope.varies][0] for scope in scopes]),
        messages=[list(by_ground[scope.varies][1]) for scope in scopes],
    )


def _too_few(
    law: Law, everyone: FitProblem, stated: set[str], pool: str
) -> dict[str, tuple[int, str]]:
    """The languages without enough runs, with their number of runs and what to do about it."""
    alone = np.array([name not in stated for name in law.names])
    failed: dict[str, tuple[int, str]] = {}
    for i, (name, distinct) in enumerate(
        zip(everyone.languages, _distinct(everyone).tolist(), strict=True)
    ):
        runs, count = int(everyone.mask[i].sum()), int((everyone.free[i] & alone).sum())
        if pool != "none":
            if distinct < FEWEST_RUNS:
                failed[name] = runs, f"too few runs: {distinct}; pooling needs {FEWEST_RUNS}"
            continue
        needed = count + SPARE_RUNS
        if stated:
            needed = max(needed, FEWEST_RUNS)
        if distinct < needed:
            which = "that the prior does not name" if stated else "that are free"
            failed[name] = (
                runs,
                f"too few runs: {distinct}; law {law.name} needs at least {needed}, for the"
                f" {count} of its coefficients {which}; add runs, fix coefficients, pool languages"
                ", give a prior or take a smaller law",
            )
    return failed


def _distinct(runs: RunBatch | FitProblem) -> np.ndarray:
    """Independent runs of each language, (L,)."""
    used, cluster = np.asarray(runs.weight) > 0, np.asarray(runs.cluster)
    return np.array([len(np.unique(c[u])) for c, u in zip(cluster, used, strict=True)])

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

# Runs of a language that takes what they leave open from other languages or from a prior: fewer
# tell neither a slope nor the noise.
FEWEST_RUNS = 3
# Runs beyond the number of coefficients, for their scatter to say what the prior weighs.
SPARE_RUNS = 2


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
        few: languages whose runs are too few for their own scatter to say what the weak prior
            weighs, see `SPARE_RUNS`, (L,).
        messages: per language.
        common: the centre (p, p) that all share, see `ParameterSpace`; None where each language
            has the middle of its own runs.
        ground: what a prior on all coefficients together rests on; None without one.
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
    few: np.ndarray
    messages: list[list[str]]
    common: np.ndarray | None = None
    ground: Scope | None = None

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
            few=self.few[rows],
            messages=[list(self.messages[i]) for i in rows],
            common=self.common,
            ground=self.ground,
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


def prepare_problem(
    law: Law, batch: RunBatch, fixed: Mapping[str, float], prior: Prior | None, pool: str
) -> tuple[FitProblem, dict[str, tuple[int, str]], str]:
    """The problem, the languages that cannot be fitted and why, and the pooling that is possible.

    With fewer than two languages to pool there is none.
    """
    stated = set(prior.ranges) - set(fixed) if prior else set()
    scopes = Scope.of_each(jax.tree.map(np.asarray, batch.recipe), np.asarray(batch.mask))
    borrowed: set[str] = set()
    if pool != "none":
        # Others can only tell what some language with enough runs tells.
        enough = _independent_runs(batch) >= FEWEST_RUNS
        if enough.sum() < 2:
            return prepare_problem(law, batch, fixed, prior, "none")
        lenders = [scope for scope, e in zip(scopes, enough, strict=True) if e]
        borrowed = _told_by_some(law, lenders, fixed)
    # What to freeze follows from what varies, and few languages differ in that.
    decided: dict[frozenset[str], tuple[np.ndarray, list[str]]] = {}
    for scope in scopes:
        if scope.varies not in decided:
            decided[scope.varies] = _free_coefficients(law, scope, fixed, stated, borrowed)
    every_language = _batch_problem(law, batch, fixed, scopes, decided)
    failed = _too_few(law, every_language, prior, pool)
    able = np.array([i for i, n in enumerate(batch.languages) if n not in failed], dtype=int)
    problem = every_language.take(able)
    problem.ground = None if prior is None or prior.joint is None else prior.joint.scope
    if pool != "none":
        problem.common = law.centre(take_rows(problem.recipe, problem.mask))
    return problem, failed, pool


def _told_by_some(law: Law, scopes: list[Scope], fixed: Mapping[str, float]) -> set[str]:
    """Coefficients that the runs of some languages determine and those of others do not."""
    by_variables = {scope.varies: scope for scope in scopes}
    lacking = [unmet_needs(law, scope, fixed)[0] for scope in by_variables.values()]
    return {n for n in law.names if 0 < sum(n in names for names in lacking) < len(lacking)}


def _free_coefficients(
    law: Law,
    scope: Scope,
    fixed: Mapping[str, float],
    stated: set[str],
    borrowed: set[str],
) -> tuple[np.ndarray, list[str]]:
    """Which coefficients runs of this scope may be fitted with, (p,) bool, and messages on others.

    `stated` are those that the prior names, `borrowed` those that other languages tell.
    """
    lacking, _ = unmet_needs(law, scope, fixed)
    frozen, messages = unmet_needs(law, scope, {*fixed, *stated, *borrowed})
    for names, source in (
        (lacking & borrowed, "taken from the other languages"),
        ((lacking & stated) - borrowed, "taken from the prior"),
    ):
        if names:
            listed = ", ".join(n for n in law.names if n in names)
            messages.append(f"{listed} not determined by these runs: {source}")
    return np.array([n not in frozen and n not in fixed for n in law.names]), messages


def _batch_problem(
    law: Law,
    batch: RunBatch,
    fixed: Mapping[str, float],
    scopes: list[Scope],
    decided: Mapping[frozenset[str], tuple[np.ndarray, list[str]]],
) -> FitProblem:
    """The problem of all languages of a batch; `decided` says by scope what is free, and why."""
    held = law.theta_neutral()
    for name, value in fixed.items():
        j = law.names.index(name)
        held[j] = np.log(value) if law.coefficients[j].log else value
    free = np.stack([decided[scope.varies][0] for scope in scopes])
    return FitProblem(
        languages=batch.languages,
        recipe=jax.tree.map(np.asarray, batch.recipe),
        log_loss=np.log(np.asarray(batch.loss)),
        weight=np.asarray(batch.weight),
        cluster=np.asarray(batch.cluster),
        mask=np.asarray(batch.mask),
        scopes=scopes,
        held=np.tile(held, (len(scopes), 1)),
        free=free,
        few=_independent_runs(batch) < free.sum(axis=1) + SPARE_RUNS,
        messages=[list(decided[scope.varies][1]) for scope in scopes],
    )


def _too_few(
    law: Law, problem: FitProblem, prior: Prior | None, pool: str
) -> dict[str, tuple[int, str]]:
    """The languages without enough runs, with their number of runs and what to do about it."""
    failed: dict[str, tuple[int, str]] = {}
    joint = prior is not None and prior.joint is not None and pool == "none"
    fewest = 1 if joint else FEWEST_RUNS
    for i, (name, independent) in enumerate(
        zip(problem.languages, _independent_runs(problem).tolist(), strict=True)
    ):
        count = int(problem.free[i].sum())
        reason = f"too few runs: {independent}; "
        if prior is None and problem.few[i]:
            reason += (
                f"without a prior law {law.name} needs at least {count + SPARE_RUNS}, for the"
                f" {count} of its coefficients that are free; add runs, fix coefficients, take a"
                " smaller law or fit with a prior"
            )
        elif problem.few[i] and independent < fewest:
            what = "a fit" if pool == "none" else "pooling"
            reason += f"{what} needs at least {fewest}; add runs"
        else:
            continue
        failed[name] = int(problem.mask[i].sum()), reason
    return failed


def _independent_runs(runs: RunBatch | FitProblem) -> np.ndarray:
    """Independent runs of each language, (L,): checkpoints of one run count once."""
    used, cluster = np.asarray(runs.weight) > 0, np.asarray(runs.cluster)
    return np.array([len(np.unique(c[u])) for c, u in zip(cluster, used, strict=True)])

"""The tools that `batch_fit` compares, and how many starts each of them needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import m3jax
from benchmarks.support.measure import Fresh, Timed, lacking, repeated
from benchmarks.support.peers import PEERS, Pool
from benchmarks.support.peers_jax import BATCH_PEERS, fit_batch
from benchmarks.support.script import Say
from benchmarks.support.work import Work, peer_problem, run_table_of

CLOSE = 1e-3  # within this share of the best objective known ...
ENOUGH = 0.99  # ... must be this share of the languages


@dataclasses.dataclass(frozen=True)
class ToolOutcome:
    """One tool's fits at one setting.

    Attributes:
        starts: random starts for each language.
        effort: the tool's other setting.
        objective: sums of Huber losses, (l,), of the languages that the tool was given.
        seconds: for all languages, warm.
        compile_s: by how much the first call was slower; None where nothing is compiled.
        peak_memory_mb: of a process that did nothing else, MiB; None where it did.
        device_memory_mb: the same of an accelerator.
    """

    starts: int
    effort: float
    objective: np.ndarray
    seconds: float
    compile_s: float | None = None
    peak_memory_mb: float | None = None
    device_memory_mb: float | None = None


class OneByOne:
    """A peer that fits one language at a time, on all cores, for some of the languages."""

    def __init__(self, name: str, work: Work, languages: np.ndarray, pool: Pool) -> None:
        self.name, self.work, self.languages, self.pool = name, work, languages, pool
        self.efforts, self.effort = PEERS[name].efforts, PEERS[name].effort

    def run(self, starts: int, effort: float) -> ToolOutcome:
        points = peer_problem(self.work).starts(starts)[self.languages]
        x, seconds = self.pool.fit(self.name, effort, points)
        # As if the work could be spread over the cores without a gap.
        scale = self.work.languages / len(self.languages) / self.pool.workers
        return ToolOutcome(
            starts, effort, objectives(self.work, self.languages, x), seconds.sum() * scale
        )

    def in_fresh_process(self, outcome: ToolOutcome) -> ToolOutcome:
        """The outcome as it is: nothing was compiled."""
        return outcome


class AllAtOnce:
    """m3jax, or a peer that fits all languages in one call: in a process of its own."""

    def __init__(self, name: str, work: Work, fresh: Fresh) -> None:
        self.name, self.work, self.fresh = name, work, fresh
        self.languages = np.arange(work.languages)
        self.efforts: tuple[float, ...] = (0,)
        self.effort = "none"
        if name in BATCH_PEERS:
            self.efforts, self.effort = BATCH_PEERS[name].efforts, "iterations"

    def run(self, starts: int, effort: float) -> ToolOutcome:
        is_first = not self.fresh.used
        timed = self.fresh.call(run_tool, self.name, self.work, starts, effort)
        x = timed.result
        if self.name == "m3jax":
            x = peer_problem(self.work).to_x(x)
        return ToolOutcome(
            starts,
            effort,
            objectives(self.work, self.languages, x),
            timed.seconds,
            timed.compile_s if is_first else None,
            timed.peak_memory_mb if is_first else None,
            timed.device_memory_mb if is_first else None,
        )

    def in_fresh_process(self, outcome: ToolOutcome) -> ToolOutcome:
        """The same in a process that has compiled nothing before, if it was not."""
        if outcome.compile_s is not None:
            return outcome
        self.fresh.restart()
        return self.run(outcome.starts, outcome.effort)


Tool = OneByOne | AllAtOnce


def objectives(work: Work, languages: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum of Huber losses of each language (l,) at x (l, p), by the same code for every tool."""
    problem = peer_problem(work)
    return np.array(
        [problem.residuals(i).objective(at) for i, at in zip(languages, x, strict=True)]
    )


def run_tool(tool: str, work: Work, starts: int, effort: int) -> Timed:
    """In another process: x (L, p) of a peer, theta (L, p) of m3jax, timed."""
    if tool == "m3jax":
        run_table_of(work)
        return repeated(lambda: fit_m3jax(work, starts))
    problem = peer_problem(work)
    points = problem.starts(starts)
    return repeated(lambda: fit_batch(tool, problem, points, effort))


def fit_m3jax(work: Work, starts: int) -> np.ndarray:
    """Coefficient vectors (L, p) by the public function; NaN where a language was not fitted."""
    table = run_table_of(work)
    fits = m3jax.fit(
        table,
        work.law,
        prior="none",
        huber_delta=work.delta,
        starts=starts,
        draws=0,
        tolerance=1e-5,  # as the peers' looser settings: a tenth of a per cent is what is asked
        engine="batch",  # warm seconds are compared
        seed=work.seed,
    )
    theta = np.full((work.languages, fits.theta.shape[1]), np.nan)
    row = {name: i for i, name in enumerate(table.languages)}
    theta[[row[name] for name in fits.languages]] = fits.theta
    return theta


@dataclasses.dataclass
class Ladder:
    """A tool's outcomes at 1, 2, 4, ... starts, up to `most`."""

    tool: Tool
    most: int
    outcomes: list[ToolOutcome] = dataclasses.field(default_factory=list)
    climbed: int = 0

    def climb(self) -> None:
        """The next number of starts, at every effort."""
        self.climbed = max(1, 2 * self.climbed)
        self.outcomes += [self.tool.run(self.climbed, effort) for effort in self.tool.efforts]

    def share(self, outcome: ToolOutcome, best: np.ndarray) -> float:
        """Of the tool's languages, those close to the best objective known (L,)."""
        return float(np.mean(outcome.objective <= (1 + CLOSE) * best[self.tool.languages]))

    def choice(self, best: np.ndarray) -> ToolOutcome:
        """The cheapest outcome that is good enough; without any, the best there is."""
        good = [o for o in self.outcomes if self.share(o, best) >= ENOUGH]
        if good:
            return min(good, key=lambda o: o.seconds)
        return max(self.outcomes, key=lambda o: (self.share(o, best), -o.seconds))

    def done(self, best: np.ndarray) -> bool:
        """Whether more starts cannot help: there are no more, or what is good enough costs less."""
        if self.climbed >= self.most:
            return True
        chosen = self.choice(best)
        cheapest = 2 * min(
            (o.seconds for o in self.outcomes if o.starts == self.climbed), default=0
        )
        return self.share(chosen, best) >= ENOUGH and chosen.seconds <= cheapest

    def report(self, best: np.ndarray, total: int) -> dict[str, Any]:
        """The tool's figures at its choice, for JSON; `total` languages, times in seconds."""
        outcome = self.tool.in_fresh_process(self.choice(best))
        share = self.share(outcome, best)
        reached = share >= ENOUGH
        return {
            "reached_quality": reached,
            "time_to_quality_s": outcome.seconds if reached else None,
            "seconds": outcome.seconds,
            "compile_s": outcome.compile_s,
            "fits_per_second": total / outcome.seconds,
            "starts": outcome.starts,
            "effort": {} if self.tool.effort == "none" else {self.tool.effort: outcome.effort},
            "within_share": share,
            "median_excess": float(np.median(outcome.objective / best[self.tool.languages] - 1)),
            "peak_memory_mb": outcome.peak_memory_mb,
            "device_memory_mb": outcome.device_memory_mb,
            "measured_on": {"languages": len(self.tool.languages), "scaled_to": total},
        }


def best_known(ladders: Iterable[Ladder], languages: int) -> np.ndarray:
    """The lowest objective of each language over all tools and settings, (L,)."""
    best = np.full(languages, np.inf)
    for ladder in ladders:
        for outcome in ladder.outcomes:
            np.minimum.at(best, ladder.tool.languages, outcome.objective)
    return best


def climb_all(ladders: Mapping[str, Ladder], languages: int, say: Say) -> dict[str, str]:
    """Let all tools climb until they are done by the best objectives known to any.

    Returns the peers that failed at their first step, and why.
    """
    failed: dict[str, str] = {}
    while True:
        best = best_known(ladders.values(), languages)
        todo = [
            name
            for name, ladder in ladders.items()
            if name not in failed and not (ladder.outcomes and ladder.done(best))
        ]
        if not todo:
            return failed
        for name in todo:
            say(f"{name}: {max(1, 2 * ladders[name].climbed)} starts")
            try:
                ladders[name].climb()
            except Exception as error:
                if name == "m3jax" or ladders[name].outcomes:
                    raise
                failed[name] = f"failed: {type(error).__name__}: {error}"


def absent(name: str, law: str) -> str | None:
    """Why a peer cannot take part, None if it can."""
    if name in BATCH_PEERS:
        return lacking(BATCH_PEERS[name].package, BATCH_PEERS[name].package)
    if PEERS[name].law not in (None, law):
        return f"fits the {PEERS[name].law} law only"
    return lacking(*PEERS[name].package)

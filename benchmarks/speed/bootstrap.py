"""How long does the bootstrap of many languages take, and how does it grow?

    python -m benchmarks.speed.bootstrap --languages 300 --draws 1000 --json

m3jax fits made-up languages (known coefficients, noisy runs) with bootstrap draws and without, each
call made repeated and the second timed. SciPy's fastest solver refits some of the languages under
run weights of the same kind (Dirichlet), from the best fit, on all cores; its time is scaled up.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import m3jax
from benchmarks.support.fit_tools import CLOSE, ENOUGH
from benchmarks.support.measure import (
    Fresh,
    Timed,
    cores,
    device_name,
    machine,
    repeated,
)
from benchmarks.support.peers import PEERS, Pool
from benchmarks.support.script import Say, new_parser, pairs, parse, print_result, say
from benchmarks.support.work import (
    Work,
    add_work_options,
    peer_problem,
    run_table_of,
    take_work,
)

PEER = "scipy_least_squares"


class Run(NamedTuple):
    """m3jax with bootstrap draws and without; `result` is theta (L, p) and draws (l, D, p)."""

    drawn: Timed
    plain: Timed
    device: str


def run_m3jax(work: Work, draws: int, starts: int | None, kept: int) -> Run:
    """In a fresh process: both fits, and the draws of the first `kept` languages."""
    table = run_table_of(work)
    options: dict[str, Any] = {} if starts is None else {"starts": starts}

    def call(count: int) -> tuple[np.ndarray, np.ndarray]:
        fits = m3jax.fit(
            table,
            work.law,
            prior="none",
            huber_delta=work.delta,
            draws=count,
            engine="batch",
            seed=work.seed,
            **options,
        )
        if fits.failed:
            raise RuntimeError(f"not all languages were fitted: {dict(fits.failed)}")
        return fits.theta, fits.draws[:kept]

    # The one with draws first: the peak of memory is the process's so far.
    return Run(repeated(lambda: call(draws), 1), repeated(lambda: call(0), 1), device_name())


def run_scipy(work: Work, theta: np.ndarray, drawn: np.ndarray, draws: int) -> dict[str, Any]:
    """SciPy's refits of the first languages (l) from theta (L, p), at the cheapest good tolerance.

    Good: 99% of the refits are within 0.1% of the best found of them at any tolerance.
    `drawn` are m3jax's draws of the same languages, (l, D, p).
    """
    problem, rng = peer_problem(work), np.random.default_rng([work.seed, 3])
    languages = len(drawn)
    jobs = [
        dataclasses.replace(problem.residuals(i), weight=work.runs * weight)
        for i in range(languages)
        for weight in rng.dirichlet(np.ones(work.runs), draws)
    ]
    starts = np.repeat(problem.to_x(theta)[:languages], draws, axis=0)[:, None]
    pool = Pool(jobs, cores())
    try:
        tried = {effort: pool.fit(PEER, effort, starts) for effort in PEERS[PEER].efforts}
    finally:
        pool.close()
    reached = np.array(
        [[job.objective(at) for job, at in zip(jobs, x, strict=True)] for x, _ in tried.values()]
    )
    shares = np.mean(reached <= (1 + CLOSE) * reached.min(axis=0), axis=1)
    # The last is the most exact, and the most costly.
    chosen = min(np.flatnonzero(shares >= ENOUGH), default=len(shares) - 1)
    effort, (x, seconds) = list(tried.items())[chosen]
    return {
        "seconds_per_fit": float(seconds.mean()) / cores(),
        "tolerance": effort,
        "within_share": float(shares[chosen]),
        "measured_on": {"languages": languages, "draws": draws},
        "spread_ratio": _spread_ratio(work, drawn, x.reshape(languages, draws, -1)),
    }


def _spread_ratio(work: Work, drawn: np.ndarray, refitted: np.ndarray) -> float:
    """Spread of the predicted log losses of the runs over m3jax's draws, relative to SciPy's.

    Near one if both refit to the end: median over languages and runs of the ratio of the standard
    deviations. `drawn` holds theta and `refitted` x, both (l, draws, p).
    """
    problem, ratios = peer_problem(work), []
    for i, (theta_draws, x_refits) in enumerate(zip(drawn, refitted, strict=True)):
        residuals = problem.residuals(i)
        x_draws = np.linalg.solve(problem.centre[i], theta_draws.T).T
        spread = [np.std([residuals(x) for x in points], axis=0) for points in (x_draws, x_refits)]
        ratios.append(spread[0] / spread[1])
    return float(np.median(ratios))


def figures(work: Work, draws: int, run: Run) -> dict[str, Any]:
    """m3jax's figures for one size, seconds and MiB."""
    return {
        "languages": work.languages,
        "draws": draws,
        "seconds": run.drawn.seconds,
        "fit_seconds": run.plain.seconds,
        "bootstrap_seconds": run.drawn.seconds - run.plain.seconds,
        "compile_s": run.drawn.compile_s,
        "peak_memory_mb": run.drawn.peak_memory_mb,
        "device_memory_mb": run.drawn.device_memory_mb,
    }


def study(
    work: Work,
    *,
    draws: int,
    starts: int | None,
    device: str,
    peer_languages: int,
    peer_draws: int,
    scaling: Sequence[tuple[int, int]],
    say: Say,
) -> dict[str, Any]:
    """Everything that `main` prints, as one JSON document."""
    kept = min(peer_languages, work.languages)

    def measure(work: Work, draws: int) -> Run:
        say(f"m3jax: {work.languages} languages × {draws} draws")
        with Fresh(device) as fresh:
            return fresh.call(run_m3jax, work, draws, starts, kept)

    run = measure(work, draws)
    result = figures(work, draws, run)
    sizes = []
    for languages, count in scaling:
        larger = dataclasses.replace(work, languages=languages)
        sizes.append(figures(larger, count, measure(larger, count)))
    exponent = None
    if len({size["languages"] for size in sizes}) > 1:
        counts, seconds = (
            np.log([size[key] for size in sizes]) for key in ("languages", "seconds")
        )
        exponent = float(np.polyfit(counts, seconds, 1)[0])

    peer, ratio = None, None
    if kept:
        say(f"{PEER}: {kept} languages × {peer_draws} draws")
        theta, drawn = run.drawn.result
        peer = run_scipy(work, theta, drawn, peer_draws)
        peer["seconds"] = peer["seconds_per_fit"] * work.languages * draws
        # At tiny sizes the difference drowns in the clock's noise.
        if result["bootstrap_seconds"] > 0:
            ratio = peer["seconds"] / result["bootstrap_seconds"]
    return {
        "law": work.law,
        "runs": work.runs,
        "noise": work.noise,
        "huber_delta": work.delta,
        "seed": work.seed,
        **result,
        "ratio_scipy_least_squares": ratio,
        "peers": {} if peer is None else {PEER: peer},
        "scaling": sizes,
        "scaling_exponent": exponent,
        "machine": machine(run.device),
    }


def show(result: Mapping[str, Any]) -> None:
    """The same for people."""
    for size in (result, *result["scaling"]):
        print(
            f"{size['languages']} languages × {size['draws']} draws: {size['seconds']:.3g} s, of"
            f" which the fit {size['fit_seconds']:.3g} s; {size['peak_memory_mb']:.0f} MiB;"
            f" compiling {size['compile_s']:.3g} s more the first time"
        )
    for name, peer in result["peers"].items():
        print(
            f"{name}: {peer['seconds']:.3g} s for the draws alone, scaled up from"
            f" {peer['measured_on']['languages']} languages × {peer['measured_on']['draws']} draws;"
            f" spread of m3jax's draws relative to its {peer['spread_ratio']:.3f}"
        )
    if result["ratio_scipy_least_squares"] is not None:
        print(f"that is {result['ratio_scipy_least_squares']:.3g} times m3jax's for the draws")
    if result["scaling_exponent"] is not None:
        print(f"seconds grow with the languages to the power {result['scaling_exponent']:.3f}")


def main() -> int:
    parser = new_parser(__doc__)
    add_work_options(parser)
    parser.add_argument("--draws", type=int, default=1000, help="per language")
    parser.add_argument("--starts", type=int, help="of the fit; default: what m3jax.fit takes")
    parser.add_argument("--peer-languages", type=int, default=4, help="0 for no peer")
    parser.add_argument("--peer-draws", type=int, default=50, help="per language")
    parser.add_argument(
        "--scaling", type=pairs, default=[], help="languages x draws: 1000x100,10000x100"
    )
    options, as_json = parse(parser)
    work = take_work(options)
    return print_result(study(work, **options, say=say), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

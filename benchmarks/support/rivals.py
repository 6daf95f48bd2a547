"""SciPy's solvers as whole processes: arrays from files, the answer to another.

    python -m benchmarks.support.rivals minpack IN.npz OUT.npy
    python -m benchmarks.support.rivals slsqp IN.npz OUT.npy

Nothing here imports JAX.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Mapping

import numpy as np

from benchmarks.support.measure import cores

STARTS = 4  # of each regime, for SLSQP; what it needs to find the best recipes


def fit_by_minpack(arrays: Mapping[str, np.ndarray], tolerance: float = 1e-5) -> np.ndarray:
    """x (L, p) of every language, from one start each, on all cores."""
    import pandas as pd

    from benchmarks.support.peers import minpack
    from benchmarks.support.residuals import Residuals

    law = json.loads(str(arrays["law"]))
    tables = [table for _, table in pd.read_csv("many.csv").groupby("language", sort=False)]

    def fit(language: int) -> np.ndarray:
        own = {
            name: arrays[name][language] for name in ("lower", "upper", "start_low", "start_high")
        }
        table = tables[language]
        residuals = Residuals.of(
            tuple(law["names"]),
            law["terms"],
            law["diluting"],
            {name: table[name].to_numpy() for name in law["variables"]},
            np.log(table["loss"].to_numpy()),
            arrays["centre"][language],
            delta=float(arrays["delta"]),
            **own,
        )
        with np.errstate(all="ignore"):
            return minpack(residuals, arrays["starts"][language], tolerance)

    count, workers = len(tables), cores()
    if workers == 1:
        return np.stack([fit(i) for i in range(count)])

    def share(number: int, send: multiprocessing.connection.Connection) -> None:
        send.send(np.stack([fit(i) for i in range(number, count, workers)]))

    fork, x = multiprocessing.get_context("fork"), np.empty(arrays["lower"].shape)
    pipes = [fork.Pipe(duplex=False) for _ in range(workers)]
    processes = [fork.Process(target=share, args=(i, end)) for i, (_, end) in enumerate(pipes)]
    for process in processes:
        process.start()
    for number, (receive, _) in enumerate(pipes):
        x[number::workers] = receive.recv()
    for process in processes:
        process.join()
    return x


def solve_by_slsqp(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Lowest log loss of every problem, (P,)."""
    from benchmarks.support.recipe_terms import Face, Terms, solve_by_scipy, starts

    faces = [
        Face(*(arrays[f"{name}{i}"] for name in ("plane", "matrix", "right", "low", "high")))
        for i in range(3)
    ]
    best = []
    fields = ("constant", "slope", "counted", "diluting", "penalty")
    for seed, (*own, penalty) in enumerate(zip(*(arrays[f] for f in fields), strict=True)):
        rng = np.random.default_rng(seed)
        terms = Terms(*own, tuple(penalty.tolist()))
        regimes = [(face, starts(face, STARTS, rng)) for face in faces]
        best.append(solve_by_scipy("SLSQP", terms, regimes).min())
    return np.array(best)


def main() -> int:
    name, source, out = sys.argv[1:4]
    with np.load(source) as file:
        arrays = {key: file[key] for key in file.files}
    solve = {"minpack": fit_by_minpack, "slsqp": solve_by_slsqp}[name]
    began = time.perf_counter()
    np.save(out, solve(arrays))
    print(time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())

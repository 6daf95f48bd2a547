"""Many small fits as few compiled calls.

A lane is one fit. Lanes of one language are packed in rows, which share its runs; rows are packed
in calls of one shape, so that few shapes are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._batching import dispatch, fill_rows, take_rows
from ...laws import Law
from ._devices import ROWS_ON_CPU, jit_over_devices, rows_per_call
from ._objective import FitData, FitResiduals, Resample
from ._solver import fit_residuals, minimise_rows, rank_candidates
from ._step import Solution

LANES_PER_ROW = 4  # starts or draws of one language that share a row
_EXACT_ROWS_ON_CPU = 4  # of the few fits, at many iterations, that need the exact Hessian


def fit_lanes(
    law: Law,
    starts: np.ndarray,
    language: np.ndarray,
    data: FitData,
    *,
    rounds: Sequence[int],
    tolerance: float,
    precision: str,
    lanes: int,
    resampled: Resample | None = None,
    held: np.ndarray | None = None,
    exact: bool = False,
) -> Solution:
    """Fit from every start (T, p), in float64 NumPy arrays.

    Args:
        law: the law.
        starts: solver variables, (T, p); a start is a task.
        language: whose runs in `data`, of leading axis L, each task is fitted to, (T,).
        data: of L languages.
        rounds: numbers of iterations. After each, the fits that have converged leave and the others
            are packed together again, so that few lanes wait for the slow ones.
        tolerance: relative gain at which a fit has converged.
        precision: "float64" or "float32".
        lanes: K, tasks in a row.
        resampled: the runs of each task, leaves (T, ...); those of its language where None.
        held: what each task leaves where it is besides what `data.free` leaves out, (T, p) bool.
        exact: whether to take the true Hessian.
    """
    total = len(starts)
    free = data.free[language] if held is None else data.free[language] & ~held
    out = Solution(
        np.array(starts, dtype=np.float64),
        np.full(total, np.inf),
        np.zeros(total, dtype=np.int64),
        np.zeros(total, dtype=bool),
    )
    run = jit_over_devices(minimise_rows, "precision", "exact", law=law)
    runs = data.weight.shape[1]
    size = rows_per_call(runs, lanes, _EXACT_ROWS_ON_CPU if exact else ROWS_ON_CPU)
    kind = minimise_rows, law, runs, size, lanes, precision, exact
    unfinished = np.arange(total)
    for iterations in rounds:
        tasks, languages = pack_rows(unfinished, language, lanes)

        def fit_call(
            call: slice,
            tasks: np.ndarray = tasks,
            languages: np.ndarray = languages,
            iterations: int = iterations,
        ) -> Solution:
            call_tasks = fill_rows(tasks[call], size)
            call_languages = fill_rows(languages[call], size)
            row_data = take_rows(data, call_languages)
            solution: Solution = run(
                out.x[call_tasks],
                row_data,
                _unchanged(row_data, lanes)
                if resampled is None
                else take_rows(resampled, call_tasks),
                free[call_tasks],
                iterations,
                tolerance,
                precision=precision,
                exact=exact,
            )
            return Solution(*map(np.asarray, solution))

        calls = _call_slices(len(tasks), size)
        for call, solution in zip(calls, dispatch(calls, fit_call, kind), strict=True):
            # Lanes that only fill a row repeat its last task: the first of each counts.
            call_tasks, first = np.unique(tasks[call], return_index=True)
            x, value, used, converged = (
                leaf.reshape(-1, *leaf.shape[2:])[first] for leaf in solution
            )
            out.x[call_tasks], out.value[call_tasks] = x, value
            out.converged[call_tasks] = converged
            out.iterations[call_tasks] += used
        unfinished = unfinished[~out.converged[unfinished] & np.isfinite(out.value[unfinished])]
        if not len(unfinished):
            break
    return out


def best_candidates(law: Law, candidates: np.ndarray, data: FitData, count: int) -> np.ndarray:
    """Of candidates (L, C, p), with their amplitudes fitted, the `count` best: (L, count, p)."""
    total, many, p = candidates.shape
    groups = -(-many // LANES_PER_ROW)
    padded = candidates[:, np.minimum(np.arange(groups * LANES_PER_ROW), many - 1)]
    rows = padded.reshape(total * groups, LANES_PER_ROW, p)
    languages = np.repeat(np.arange(total), groups)
    runs = data.weight.shape[1]
    run = jit_over_devices(rank_candidates, law=law)
    size = rows_per_call(runs, LANES_PER_ROW)

    def rank_call(call: slice) -> tuple[np.ndarray, np.ndarray]:
        row_data = take_rows(data, fill_rows(languages[call], size))
        x, value = run(fill_rows(rows[call], size), row_data)
        count = len(rows[call])
        return np.asarray(x)[:count], np.asarray(value)[:count]

    calls = _call_slices(len(rows), size)
    parts = list(dispatch(calls, rank_call, (rank_candidates, law, runs, size)))
    x = np.concatenate([x for x, _ in parts]).reshape(total, -1, p)[:, :many]
    value = np.concatenate([v for _, v in parts]).reshape(total, -1)[:, :many]
    best = np.argsort(value, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(x, best[..., None], axis=1).astype(np.float64)


def residuals_and_jacobian(law: Law, x: np.ndarray, data: FitData) -> FitResiduals:
    """Misfit (L,), residuals (L, n) and Jacobian (L, n, p) at x (L, p), in NumPy arrays."""
    runs = data.weight.shape[1]
    run, size = jit_over_devices(fit_residuals, law=law), rows_per_call(runs, 1)

    def call_residuals(call: slice) -> FitResiduals:
        rows = fill_rows(np.arange(len(x))[call], size)
        residuals = run(x[rows], take_rows(data, rows))
        return FitResiduals(*(np.asarray(leaf)[: len(x[call])] for leaf in residuals))

    calls = _call_slices(len(x), size)
    parts = list(dispatch(calls, call_residuals, (fit_residuals, law, runs, size)))
    return FitResiduals(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))


def _call_slices(rows: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, rows, size)]


def _unchanged(data: FitData, lanes: int) -> Resample:
    """Every lane of a row, (R, lanes, ...), sees the data of the row as they are."""
    leaves = data.weight, data.log_loss, data.prior_mean
    return Resample(*(np.repeat(leaf[:, None], lanes, axis=1) for leaf in leaves))


def pack_rows(tasks: np.ndarray, language: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Tasks packed in rows of one language: their numbers (R, K), and the languages (R,).

    `tasks` (m,) are numbers into `language` (T,). A row that they do not fill repeats its last.
    """
    order = tasks[np.argsort(language[tasks], kind="stable")]
    names, first, count = np.unique(language[order], return_index=True, return_counts=True)
    rows = -(-count // lanes)
    row_language = np.repeat(names, rows)
    row_number = np.arange(len(row_language)) - np.repeat(np.cumsum(rows) - rows, rows)
    slots = row_number[:, None] * lanes + np.arange(lanes)
    slots = np.minimum(slots, np.repeat(count, rows)[:, None] - 1)
    return order[np.repeat(first, rows)[:, None] + slots], row_language

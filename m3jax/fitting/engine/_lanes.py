"""Many small fits as few compiled calls: lanes in rows, rows in calls, a call on all devices.

The rows of a call are split over the devices of this machine by `shard_map`: each device loops
until its own rows are done, and nothing is exchanged. Rows split by a sharding alone would have all
devices agree before every iteration whether any row goes on; a call for each device, from a thread
each, is as fast but compiles anew for every device (measured, 4 CPU devices on 2 cores: 24 s of
compiling against 7 s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ..._batching import dispatch, fill_rows, take_rows
from ...laws import Law
from ...recipe import Array
from ._objective import FitData, Resample
from ._solver import FitResiduals, Solution, descend, look, rank

LANES_PER_ROW = 4  # starts or draws of one language that share a row
_ROWS = 32  # of a call on a CPU: its arrays stay near the cache
_FEW = 4  # the same where the exact Hessian is called for: a handful of fits, at many iterations
_LANE_BYTES = 600  # per run that a lane needs on an accelerator: a few copies of its Jacobian

Drawing = Callable[[np.ndarray, np.ndarray], Resample]


@cache
def jit_over_devices(function: Callable[..., Any], *static: str) -> Callable[..., Any]:
    """`jit`, with the leading axis of all arrays split over this machine's devices.

    On a CPU one thread a call, for calls run side by side better than that.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else {}
    if jax.default_backend() == "gpu" and jax.process_count() > 1:
        # It waits for all processes to compile the same; ours each do so when they get there.
        options["xla_gpu_shard_autotuning"] = False
    devices = jax.local_devices()
    if len(devices) > 1:
        function = _split(function, Mesh(np.array(devices), ("rows",)), 1 if "law" in static else 0)
    return jax.jit(function, static_argnames=static, compiler_options=options)


def _split(function: Callable[..., Any], mesh: Mesh, leading: int) -> Callable[..., Any]:
    """`function` on a mesh, after so many leading arguments that are not arrays."""

    @wraps(function)
    def on_mesh(*args: Any, **static: Any) -> Any:
        arrays = args[leading:]
        specs = jax.tree.map(
            lambda leaf: PartitionSpec("rows") if np.ndim(leaf) else PartitionSpec(), arrays
        )
        return jax.shard_map(
            partial(function, *args[:leading], **static),
            mesh=mesh,
            in_specs=specs,
            out_specs=PartitionSpec("rows"),
            check_vma=False,
        )(*arrays)

    return on_mesh


def rows_per_call(runs: int, lanes: int, on_cpu: int = _ROWS) -> int:
    """How many rows a call has: few on a CPU, what a third of an accelerator's memory holds."""
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return on_cpu * len(devices)
    memory = (devices[0].memory_stats() or {}).get("bytes_limit", 8 << 30)
    rows = memory // (3 * _LANE_BYTES * max(runs, 16) * lanes)
    return int(min(1 << max(int(rows).bit_length() - 1, 0), 1 << 14)) * len(devices)


def fit_lanes(
    law: Law,
    starts: np.ndarray,
    language: np.ndarray,
    data: FitData,
    delta: float,
    *,
    rounds: Sequence[int],
    tolerance: float,
    precision: str,
    lanes: int,
    drawing: Drawing | None = None,
    exact: bool = False,
) -> Solution:
    """Fit from every start (T, p); `language` (T,) says whose in `data`, of leading axis L.

    After each of `rounds`, numbers of iterations, the fits that have converged leave and the others
    are packed together again, so that few lanes wait for the slow ones. `drawing` gives what
    differs between tasks of one language: `(tasks (R, K), languages (R,)) -> Resample`.
    Returns NumPy leaves (T, ...).
    """
    total = len(starts)
    out = Solution(
        np.array(starts, dtype=np.float64),
        np.full(total, np.inf),
        np.zeros(total, dtype=np.int64),
        np.zeros(total, dtype=bool),
    )
    run = jit_over_devices(descend, "law", "precision", "exact")
    runs = data.weight.shape[1]
    size = rows_per_call(runs, lanes, _FEW if exact else _ROWS)
    kind = descend, law, runs, size, lanes, precision, exact
    todo = np.arange(total)
    for most in rounds:
        tasks, whose = pack_rows(todo, language, lanes)

        def work(call: slice, tasks: Any = tasks, whose: Any = whose, most: int = most) -> Any:
            mine, languages = fill_rows(tasks[call], size), fill_rows(whose[call], size)
            part = take_rows(data, languages)
            drawn = (drawing or _as_they_are(part))(mine, languages)
            solution = run(
                law,
                out.x[mine],
                part,
                drawn,
                delta,
                most,
                tolerance,
                precision=precision,
                exact=exact,
            )
            return jax.tree.map(np.asarray, solution)

        calls = [slice(i, i + size) for i in range(0, len(tasks), size)]
        for call, part in zip(calls, dispatch(calls, work, kind), strict=True):
            # Lanes that only fill a row repeat its last task: the first of each counts.
            mine, first = np.unique(tasks[call], return_index=True)
            found = Solution(*(leaf.reshape(-1, *leaf.shape[2:])[first] for leaf in part))
            out.x[mine], out.value[mine] = found.x, found.value
            out.converged[mine] = found.converged
            out.iterations[mine] += found.iterations
        todo = todo[~out.converged[todo] & np.isfinite(out.value[todo])]
        if not len(todo):
            break
    return out


def best_candidates(
    law: Law, candidates: np.ndarray, data: FitData, delta: float, count: int
) -> np.ndarray:
    """Of candidates (L, C, p), with their amplitudes fitted, the `count` best: (L, count, p)."""
    total, many, p = candidates.shape
    groups = -(-many // LANES_PER_ROW)
    padded = candidates[:, np.minimum(np.arange(groups * LANES_PER_ROW), many - 1)]
    rows = padded.reshape(total * groups, LANES_PER_ROW, p)
    whose = np.repeat(np.arange(total), groups)
    runs = data.weight.shape[1]
    run, size = jit_over_devices(rank, "law"), rows_per_call(runs, LANES_PER_ROW)

    def work(call: slice) -> tuple[np.ndarray, np.ndarray]:
        languages = fill_rows(whose[call], size)
        x, value = run(
            law,
            fill_rows(rows[call], size),
            take_rows(data, languages),
            delta,
        )
        mine = len(whose[call])
        return np.asarray(x)[:mine], np.asarray(value)[:mine]

    calls = [slice(i, i + size) for i in range(0, len(rows), size)]
    parts = list(dispatch(calls, work, (rank, law, runs, size)))
    x = np.concatenate([x for x, _ in parts]).reshape(total, -1, p)[:, :many]
    value = np.concatenate([v for _, v in parts]).reshape(total, -1)[:, :many]
    best = np.argsort(value, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(x, best[..., None], axis=1).astype(np.float64)


def residuals_and_jacobian(law: Law, x: np.ndarray, data: FitData, delta: float) -> FitResiduals:
    """`look` at x (L, p), with NumPy leaves."""
    runs = data.weight.shape[1]
    run, size = jit_over_devices(look, "law"), rows_per_call(runs, 1)

    def work(call: slice) -> FitResiduals:
        mine = fill_rows(np.arange(len(x))[call], size)
        seen = run(law, x[mine], take_rows(data, mine), delta)
        return FitResiduals(*(np.asarray(leaf)[: len(x[call])] for leaf in seen))

    calls = [slice(i, i + size) for i in range(0, len(x), size)]
    parts = list(dispatch(calls, work, (look, law, runs, size)))
    return FitResiduals(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))


def _as_they_are(data: FitData) -> Drawing:
    def drawing(tasks: np.ndarray, languages: np.ndarray) -> Resample:
        def copies(leaf: Array) -> np.ndarray:
            return np.broadcast_to(leaf[:, None], (*tasks.shape, leaf.shape[-1]))

        return Resample(copies(data.weight), copies(data.log_loss), copies(data.prior_mean))

    return drawing


def pack_rows(todo: np.ndarray, language: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Tasks packed in rows of one language: their numbers (R, K), and the languages (R,)."""
    order = todo[np.argsort(language[todo], kind="stable")]
    names, first, count = np.unique(language[order], return_index=True, return_counts=True)
    needed = -(-count // lanes)
    whose = np.repeat(names, needed)
    within = np.arange(len(whose)) - np.repeat(np.cumsum(needed) - needed, needed)
    slots = within[:, None] * lanes + np.arange(lanes)
    slots = np.minimum(slots, np.repeat(count, needed)[:, None] - 1)
    return order[np.repeat(first, needed)[:, None] + slots], whose

"""Compiled calls on all devices of this machine.

The rows of a call are split over the devices by `shard_map`: each device loops until its own rows
are done, and nothing is exchanged. Rows split by a sharding alone would have all devices agree
before every iteration whether any row goes on; a call for each device, from a thread each, is as
fast but compiles anew for every device (measured, 4 CPU devices on 2 cores: 24 s of compiling
against 7 s).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ...computing import KEPT
from ...laws import Law

ROWS_ON_CPU = 32  # of a call: its arrays stay near the cache
_LANE_BYTES = 600  # per run that a lane needs on an accelerator: a few copies of its Jacobian


@lru_cache(maxsize=4 * KEPT)
def jit_over_devices(
    function: Callable[..., Any], *static: str, law: Law | None = None
) -> Callable[..., Any]:
    """`jit`, with the leading axis of all arrays split over this machine's devices.

    Of `function(law, ...)` where a law is given.

    On a CPU one thread a call, for calls run side by side better than that.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else {}
    if jax.default_backend() == "gpu" and jax.process_count() > 1:
        # It waits for all processes to compile the same; ours each do so when they get there.
        options["xla_gpu_shard_autotuning"] = False
    if law is not None:
        function = partial(function, law)
    devices = jax.local_devices()
    if len(devices) > 1:
        function = _over_mesh(function, Mesh(np.array(devices), ("rows",)))
    return jax.jit(function, static_argnames=static, compiler_options=options)


def _over_mesh(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`function` of arrays, on a mesh."""

    @wraps(function)
    def on_mesh(*arrays: Any, **static: Any) -> Any:
        specs = jax.tree.map(
            lambda leaf: PartitionSpec("rows") if np.ndim(leaf) else PartitionSpec(), arrays
        )
        return jax.shard_map(
            partial(function, **static),
            mesh=mesh,
            in_specs=specs,
            out_specs=PartitionSpec("rows"),
            check_vma=False,
        )(*arrays)

    return on_mesh


def rows_per_call(runs: int, lanes: int, on_cpu: int = ROWS_ON_CPU) -> int:
    """How many rows a call has: few on a CPU, what a third of an accelerator's memory holds.

    A row is `lanes` fits of one language, of so many `runs`.
    """
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return on_cpu * len(devices)
    memory = (devices[0].memory_stats() or {}).get("bytes_limit", 8 << 30)
    rows = memory // (3 * _LANE_BYTES * max(runs, 16) * lanes)
    return int(min(1 << max(int(rows).bit_length() - 1, 0), 1 << 14)) * len(devices)

"""Rows of batches: take some, fill up to a compiled shape, hand calls to the devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from .computing import in_double_precision

_compiled_kinds: set[Any] = set()


def take_rows(tree: Any, rows: Any) -> Any:
    """Some rows of the leading axis of every leaf."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def fill_rows(rows: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row up to `size` rows, so that one shape is compiled."""
    return rows if len(rows) == size else rows[np.minimum(np.arange(size), len(rows) - 1)]


def worker_count() -> int:
    """Calls made at the same time: one for each core of a CPU, and two elsewhere.

    The second keeps the devices busy while the host prepares what is next.
    """
    if jax.default_backend() != "cpu":
        return 2
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def dispatch(calls: Sequence[Any], work: Callable[[Any], Any], kind: Any) -> Iterator[Any]:
    """`work` of each call, in order, some at the same time, with 64-bit types.

    The first call of a new `kind` goes alone, so that what it compiles is there for the others.
    """
    threads = worker_count()

    def on(number: int) -> Any:
        with in_double_precision(), jax.default_device(jax.local_devices()[0]):
            return work(calls[number])

    alone = 0 if kind in _compiled_kinds else 1
    yield from map(on, range(len(calls) if threads == 1 else min(alone, len(calls))))
    _compiled_kinds.add(kind)
    if threads > 1 and len(calls) > alone:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(on, range(alone, len(calls)))

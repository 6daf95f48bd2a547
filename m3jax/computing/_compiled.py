"""Compiled code that is kept: in a process for the laws used last, on disk for other processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

KEPT = 32  # laws, of each function; those of the registry are 18


@lru_cache(maxsize=1)
def keep_compiled() -> None:
    """Keep compiled code between processes, unless the user has set JAX's cache up themselves.

    In `~/.cache/m3jax/xla`; the environment variable `M3JAX_CACHE` names another folder, or is
    "off". Where it cannot be kept, that costs time and not results. JAX has one such folder for a
    whole process: what its caller compiles goes there from then on, too.
    """
    place = os.environ.get("M3JAX_CACHE")
    given = getattr(jax.config, "jax_compilation_cache_dir", None)
    if place == "off" or given or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(place) if place else caches / "m3jax" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    reset_cache()  # where something has been compiled before, JAX has found no cache for good


def jit_by_first(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jit` of `function(first, ...)`, compiled for each `first`, which must be hashable.

    `jax.jit` keeps what it has compiled for a static argument for ever: tens of megabytes a law, be
    it one that a notebook makes anew with every run of a cell. Here the last `KEPT` are.
    """

    @lru_cache(maxsize=KEPT)
    def compiled(first: Any) -> Callable[..., Any]:
        return jax.jit(partial(function, first), **options)

    @wraps(function)
    def call(first: Any, *rest: Any, **named: Any) -> Any:
        return compiled(first)(*rest, **named)

    return call

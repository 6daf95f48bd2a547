"""Timing in fresh processes, their peak of memory, and what machine it was."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")

PLATFORMS = {"cpu": "cpu", "gpu": "cuda"}  # as JAX_PLATFORMS names them


class Timed(NamedTuple):
    """What a call returned the second time, and what it took.

    Attributes:
        result: of the second call.
        seconds: the second call's, everything compiled.
        compile_s: seconds by which the first took longer.
        peak_memory_mb: of the process so far, MiB: imports, data and compiler included.
        device_memory_mb: peak on an accelerator, MiB; None where JAX does not count it.
    """

    result: Any
    seconds: float
    compile_s: float
    peak_memory_mb: float
    device_memory_mb: float | None


def repeated(call: Callable[[], T], warm: int = 3) -> Timed:
    """Time `call`, which must return NumPy arrays or else be done when it returns.

    Once cold, and the median of some warm calls.
    """
    import jax

    marks = [time.perf_counter()]
    for _ in range(1 + warm):
        result = call()
        marks.append(time.perf_counter())
    first, *others = np.diff(marks).tolist()
    second = float(np.median(others))
    # ru_maxrss is in KiB, on macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    counted = jax.local_devices()[0].memory_stats() or {}
    on_device = counted.get("peak_bytes_in_use")
    return Timed(result, second, first - second, peak, on_device and on_device / 2**20)


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Fresh:
    """A process of its own on a device; nothing is compiled in it before the first call."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.used = False

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments)` there; it starts with the first call."""
        self.used = True
        with environment({"JAX_PLATFORMS": PLATFORMS[self.device]}):
            return self.executor.submit(function, *arguments).result()

    def restart(self) -> None:
        """End the process; the next call starts another."""
        self.executor.shutdown()
        self.executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.used = False

    def __enter__(self) -> Fresh:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name() -> str:
    """What JAX computes on, in its words."""
    import jax

    return jax.devices()[0].device_kind


def lacking(package: str, pip_name: str) -> str | None:
    """What is missing for a peer that needs an optional package; None if nothing is."""
    if importlib.util.find_spec(package) is None:
        return f"not installed: pip install {pip_name}"
    return None


def machine(device: str) -> dict[str, Any]:
    """Where and with what a result was measured; `device` is what JAX calls it."""
    packages = ("m3jax", "jax", "jaxlib", "numpy", "scipy")
    return {
        "date": datetime.date.today().isoformat(),
        "cores": cores(),
        "processor": platform.processor() or platform.machine(),
        "device": device,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }

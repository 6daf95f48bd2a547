"""How fast this machine trains, and how many models it should train together."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from ._model import Shape
from ._train import Training, stage_tokens, train

_TOKENS_AT_ONCE = 1 << 17  # in a step of an ensemble on an accelerator
_STEPS = 64  # timed


def ensemble_size(batch: int, length: int) -> int:
    """Models to train as one program: as many as fill an accelerator with work.

    One on a CPU, which is no faster with more (measured: slower by a fifth with four).
    """
    if jax.default_backend() == "cpu":
        return 1
    return max(1, _TOKENS_AT_ONCE // (batch * length))


def program_count() -> int:
    """Programs to run at the same time: one on each core of a CPU, as small models use only one."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def flop_per_second(
    shape: Shape,
    training: Training,
    precision: str,
    *,
    batch: int | None = None,
    ensemble: int | None = None,
    workers: int | None = None,
    steps: int = _STEPS,
) -> float:
    """6·N·D a second of training (by default as `carry_out` does it), compiling left out."""
    batch = batch or training.batch
    ensemble = ensemble or ensemble_size(batch, training.length)
    workers = workers or program_count()
    rng = np.random.default_rng(0)
    tokens = stage_tokens(rng.integers(shape.vocabulary, size=1 << 16).astype(np.int32))
    orders = list(rng.integers((1 << 16) - training.length, size=(ensemble, steps, batch)))
    rates = [training.rates(shape, steps)] * ensemble
    windows = {"loss": [orders[0][0]] * ensemble}  # a few: without a result nothing is waited for

    def work(_: int) -> None:
        train(shape, training, tokens, orders, rates, range(ensemble), windows, precision=precision)

    work(0)  # compiled
    with ThreadPoolExecutor(workers) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(workers)))
        seconds = time.perf_counter() - began
    return 6.0 * shape.n_params * workers * ensemble * steps * batch * training.length / seconds

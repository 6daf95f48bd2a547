"""How fast this machine trains, and how many models it should train together."""

from __future__ import annotations

import time

import jax
import numpy as np

from ._model import Shape
from ._train import Training, stage_tokens, train

_CPU_ENSEMBLE = 4
_TOKENS_AT_ONCE = 1 << 17  # in a step of an ensemble on an accelerator
_STEPS = 64  # timed


def ensemble_size(batch: int, length: int) -> int:
    """Models to train together: few on a CPU, as many as fill an accelerator with work."""
    if jax.default_backend() == "cpu":
        return _CPU_ENSEMBLE
    return max(1, _TOKENS_AT_ONCE // (batch * length))


def flop_per_second(
    shape: Shape,
    training: Training,
    precision: str,
    *,
    batch: int | None = None,
    ensemble: int | None = None,
    steps: int = _STEPS,
) -> float:
    """6·N·D a second of training an ensemble (the usual size by default), compiling left out."""
    batch = batch or training.batch
    ensemble = ensemble or ensemble_size(batch, training.length)
    rng = np.random.default_rng(0)
    tokens = stage_tokens(rng.integers(shape.vocabulary, size=1 << 16).astype(np.int32))
    orders = list(rng.integers((1 << 16) - training.length, size=(ensemble, steps, batch)))
    rates = [training.rates(shape, steps)] * ensemble
    windows = {"loss": [orders[0][0]] * ensemble}  # a few: without a result nothing is waited for
    seconds = []
    for _ in range(2):  # the first time it is compiled
        began = time.perf_counter()
        train(shape, training, tokens, orders, rates, range(ensemble), windows, precision=precision)
        seconds.append(time.perf_counter() - began)
    return 6.0 * shape.n_params * ensemble * steps * batch * training.length / seconds[1]

"""Train many small models of one shape together: one compiled program, an ensemble axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._errors import M3Error
from ..options import TrainingOptions
from ._model import Params, Shape, init, token_losses

Array = Any

_CHUNK = 32  # steps in one call: one compiled program, whatever the number of steps
_HELD_OUT_BATCH = 16  # windows evaluated together
_PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(TrainingOptions):
    """How every run is trained, and what follows from it for a run."""

    def batch_for(self, total_tokens: float) -> int:
        """Windows a step in a run of so many tokens; at least 4."""
        wanted = self.batch * math.sqrt(total_tokens / 2**20)
        return max(4, 2 ** round(math.log2(wanted)))

    def peak_rate(self, shape: Shape) -> float:
        """The highest learning rate of a run."""
        return self.rate * (64 / shape.width) ** self.rate_power

    def rates(self, shape: Shape, steps: int) -> np.ndarray:
        """The learning rate at each step, (steps,) float32."""
        step = np.arange(steps)
        rise = (step + 1) / max(self.warmup_fraction * steps, 1)
        fall = (steps - step) / max(self.decay_fraction * steps, 1)
        return (self.peak_rate(shape) * np.minimum(1, np.minimum(rise, fall))).astype(np.float32)


def precision_for(name: str) -> str:
    """ "auto" is bfloat16 on accelerators and float32 on CPUs. Raises `M3Error` on other names."""
    if name == "auto":
        return "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if name not in _PRECISIONS:
        raise M3Error(f"precision: expected auto, {' or '.join(_PRECISIONS)}, got {name!r}")
    return name


def stage_tokens(tokens: np.ndarray) -> jax.Array:
    """Put tokens on the device, padded so that texts of similar length share compiled code."""
    size = 1 << max(len(tokens) - 1, 1).bit_length()
    step = max(size >> 3, 1)
    padded = np.zeros(-(-len(tokens) // step) * step, dtype=tokens.dtype)
    padded[: len(tokens)] = tokens
    return jax.device_put(padded)


def train(
    shape: Shape,
    training: Training,
    tokens: Array,
    orders: Sequence[np.ndarray],
    rates: Sequence[np.ndarray],
    seeds: Sequence[int],
    held_out: Mapping[str, Sequence[np.ndarray]],
    *,
    precision: str = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Train E models of one shape for as many steps each, and evaluate them.

    `tokens` (n,) on the device holds all texts; windows are given by their starts in it.
    `orders` is E arrays (steps, batch), `rates` E arrays (steps,), `seeds` E numbers; `held_out`
    has by name E arrays of windows to evaluate on. The models see nothing of each other: each ends
    as it would alone, up to rounding.
    Returns, by the same names, mean losses (E,) in nats per token; not finite where a run diverged.
    """
    order = np.stack(orders).astype(np.int32)
    rate = np.stack(rates).astype(np.float32)
    steps = order.shape[1]
    chunk = math.gcd(steps, _CHUNK)
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, dtype=np.uint32))
    state = _begin(shape, training, keys)
    for first in range(0, steps, chunk):
        part = slice(first, first + chunk)
        state = _advance(shape, training, precision, state, tokens, order[:, part], rate[:, part])
        if progress is not None:
            jax.block_until_ready(state)
            progress(first + chunk, steps)
    return {
        name: _evaluate(shape, training.length, precision, state[0], tokens, windows)
        for name, windows in held_out.items()
    }


def _optimizer(training: Training) -> optax.GradientTransformation:
    """AdamW without its learning rate, which differs from run to run and step to step."""

    def is_matrix(params: Params) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: not path[-1].key.endswith("gain"), params
        )

    return optax.chain(
        optax.clip_by_global_norm(training.clip),
        optax.scale_by_adam(b1=0.9, b2=0.95),
        optax.add_decayed_weights(training.weight_decay, mask=is_matrix),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _begin(shape: Shape, training: Training, keys: Array) -> Any:
    params = jax.vmap(partial(init, shape))(keys)
    return params, jax.vmap(_optimizer(training).init)(params)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _advance(
    shape: Shape,
    training: Training,
    precision: str,
    state: Any,
    tokens: Array,
    order: Array,
    rate: Array,
) -> Any:
    """Some steps of all members: `order` (E, steps, batch), `rate` (E, steps)."""
    optimizer = _optimizer(training)

    def loss(params: Params, starts: Array) -> Array:
        windows = _windows(tokens, starts, training.length)
        return jnp.mean(token_losses(shape, _cast(params, precision), windows))

    def step(state: Any, inputs: tuple[Array, Array]) -> tuple[Any, None]:
        params, moments = state
        starts, rate = inputs
        updates, moments = optimizer.update(jax.grad(loss)(params, starts), moments, params)
        return (jax.tree.map(lambda p, u: p - rate * u, params, updates), moments), None

    def member(state: Any, order: Array, rate: Array) -> Any:
        return jax.lax.scan(step, state, (order, rate))[0]

    return jax.vmap(member)(state, order, rate)


def _evaluate(
    shape: Shape,
    length: int,
    precision: str,
    params: Params,
    tokens: Array,
    windows: Sequence[np.ndarray],
) -> np.ndarray:
    """Mean loss of each member on its own windows, (E,)."""
    counts = np.array([len(own) for own in windows])
    size = -(-max(counts) // _HELD_OUT_BATCH) * _HELD_OUT_BATCH
    starts = np.stack([np.resize(own, size) for own in windows]).astype(np.int32)
    batches = starts.reshape(len(windows), -1, _HELD_OUT_BATCH)
    losses = np.asarray(_losses(shape, length, precision, params, tokens, batches), np.float64)
    real = np.arange(size) < counts[:, None]
    return np.sum(losses.reshape(len(windows), size), axis=1, where=real) / counts


@partial(jax.jit, static_argnums=(0, 1, 2))
def _losses(
    shape: Shape, length: int, precision: str, params: Params, tokens: Array, starts: Array
) -> Array:
    """Mean loss of each window, the shape of `starts` (E, batches, batch)."""

    def member(params: Params, starts: Array) -> Array:
        cast = _cast(params, precision)
        return jax.lax.map(
            lambda some: jnp.mean(token_losses(shape, cast, _windows(tokens, some, length)), -1),
            starts,
        )

    return jax.vmap(member)(params, starts)


def _windows(tokens: Array, starts: Array, length: int) -> Array:
    return tokens[starts[:, None] + jnp.arange(length + 1)].astype(jnp.int32)


def _cast(params: Params, precision: str) -> Params:
    return jax.tree.map(lambda leaf: leaf.astype(_PRECISIONS[precision]), params)

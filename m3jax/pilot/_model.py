"""The pilot's language model: a small decoder-only transformer in plain JAX."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

Array = Any
Params = dict[str, Any]

_EPSILON = 1e-6  # of the root mean square
_ROTARY_BASE = 10_000.0


@dataclasses.dataclass(frozen=True, order=True)
class Shape:
    """The size of a model. Feed-forward layers are four times as wide as the model.

    Attributes:
        layers: transformer blocks.
        width: of the residual stream, a multiple of `head_size`.
        vocabulary: different tokens.
    """

    layers: int
    width: int
    vocabulary: int = 256

    @property
    def head_size(self) -> int:
        """Width of an attention head."""
        return 16 if self.width < 64 else 32 if self.width < 512 else 64

    @property
    def n_params(self) -> int:
        """All trained parameters: layers·(12·width² + 2·width) + (vocabulary + 1)·width.

        The embedding is also the output layer and there are no position embeddings, so all but the
        few gains are multiplied with once a token: 6·n_params·tokens is the compute of training,
        the attention scores left out.
        """
        return self.layers * (12 * self.width**2 + 2 * self.width) + self.width * (
            self.vocabulary + 1
        )


# Depths and widths with 1.3 to 2 times the parameters from one to the next.
_LADDER = (
    (2, 32), (2, 48), (2, 64), (3, 64), (2, 96), (3, 96), (4, 96), (3, 128), (4, 128), (4, 160),
    (5, 160), (6, 160), (6, 192), (6, 224), (6, 256), (8, 256), (8, 320), (8, 384), (10, 384),
    (10, 448), (10, 512), (12, 512), (12, 640), (12, 768), (16, 768), (18, 896), (24, 1024),
)  # fmt: skip


def shapes(vocabulary: int) -> tuple[Shape, ...]:
    """The sizes that pilots choose from, smallest first: 3.3e4 to 3e8 parameters for bytes."""
    return tuple(Shape(layers, width, vocabulary) for layers, width in _LADDER)


def init(shape: Shape, key: Array) -> Params:
    """Fresh parameters, float32; those of the blocks have a leading axis (layers,)."""
    d, n = shape.width, shape.layers
    keys = jax.random.split(key, 5)

    def normal(key: Array, *size: int, scale: float) -> Array:
        return scale * jax.random.normal(key, size, dtype=jnp.float32)

    residual = (2 * n) ** -0.5  # keeps the residual stream's size whatever the depth
    return {
        "embedding": normal(keys[0], shape.vocabulary, d, scale=d**-0.5),
        "blocks": {
            "attention_gain": jnp.ones((n, d), jnp.float32),
            "qkv": normal(keys[1], n, d, 3 * d, scale=d**-0.5),
            "attention_out": normal(keys[2], n, d, d, scale=residual * d**-0.5),
            "feed_gain": jnp.ones((n, d), jnp.float32),
            "feed_in": normal(keys[3], n, d, 4 * d, scale=d**-0.5),
            "feed_out": normal(keys[4], n, 4 * d, d, scale=residual * (4 * d) ** -0.5),
        },
        "gain": jnp.ones((d,), jnp.float32),
    }


def token_losses(shape: Shape, params: Params, windows: Array) -> Array:
    """Cross-entropy of each token given those before it, nats, float32 (..., length).

    `windows` (batch, length + 1) int32: the first token of each is only read, never predicted.
    Arithmetic is in the parameters' own precision, but for norms, softmax and loss (float32).
    """
    logits = _logits(shape, params, windows[:, :-1])
    answer = jnp.take_along_axis(logits, windows[:, 1:, None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - answer


def _logits(shape: Shape, params: Params, tokens: Array) -> Array:
    """Next-token scores (batch, length, vocabulary) float32."""
    x = params["embedding"][tokens] * shape.width**0.5
    rotation = _rotation(tokens.shape[1], shape.head_size)

    def block(x: Array, weights: Params) -> tuple[Array, None]:
        x = x + _attention(shape, weights, _normed(x, weights["attention_gain"]), rotation)
        hidden = _normed(x, weights["feed_gain"]) @ weights["feed_in"]
        return x + jnp.square(jax.nn.relu(hidden)) @ weights["feed_out"], None

    # Unrolled, shallow models run faster; deep ones would take long to compile.
    x, _ = jax.lax.scan(block, x, params["blocks"], unroll=min(shape.layers, 6))
    x = _normed(x, params["gain"])
    return jnp.einsum("bld,vd->blv", x, params["embedding"]).astype(jnp.float32)


def _normed(x: Array, gain: Array) -> Array:
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + _EPSILON)
    return (wide * scale).astype(x.dtype) * gain


def _attention(shape: Shape, weights: Params, x: Array, rotation: tuple[Array, Array]) -> Array:
    batch, length, width = x.shape
    heads = (batch, length, width // shape.head_size, shape.head_size)
    q, k, v = (part.reshape(heads) for part in jnp.split(x @ weights["qkv"], 3, axis=-1))
    mixed = jax.nn.dot_product_attention(
        _rotated(q, rotation), _rotated(k, rotation), v, is_causal=True
    )
    return mixed.reshape(batch, length, width) @ weights["attention_out"]


def _rotation(length: int, size: int) -> tuple[Array, Array]:
    """Cosines and sines (length, 1, size / 2) of rotary position embeddings (arXiv:2104.09864)."""
    rate = _ROTARY_BASE ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angle = jnp.arange(length, dtype=jnp.float32)[:, None, None] * rate
    return jnp.cos(angle), jnp.sin(angle)


def _rotated(x: Array, rotation: tuple[Array, Array]) -> Array:
    cos, sin = (part.astype(x.dtype) for part in rotation)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

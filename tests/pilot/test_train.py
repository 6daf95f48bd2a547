"""Training: ensembles, AdamW, schedules, precisions and throughput."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3jax import M3Error
from m3jax.pilot import (
    Shape,
    Training,
    flop_per_second,
    init,
    precision_for,
    stage_tokens,
    token_losses,
    train,
)

from .texts import LENGTH, TINY, random_bytes

STEPS, BATCH = 6, 4


def inputs(members, steps=STEPS):
    """Texts on the device and, for each member, its order, rates, seed and held-out windows."""
    tokens = np.concatenate([random_bytes(4_000), random_bytes(4_000, 1, 65, 90)])
    rng = np.random.default_rng(7)
    orders = list(rng.integers(7_000, size=(members, steps, BATCH)))
    rates = [Training().rates(TINY, steps) * 2.0**-i for i in range(members)]
    held_out = {
        "loss": [np.arange(20 + i) * 100 for i in range(members)],
        "source_loss": [4_000 + np.arange(20) * 100] * members,
    }
    return tokens, orders, rates, list(range(members)), held_out


@pytest.fixture(scope="module")
def training():
    return Training(length=LENGTH)


@pytest.mark.slow
def test_an_ensemble_is_its_members(training):
    tokens, orders, rates, seeds, held_out = inputs(3)
    staged = stage_tokens(tokens)
    together = train(TINY, training, staged, orders, rates, seeds, held_out)
    assert {name: losses.shape for name, losses in together.items()} == {
        "loss": (3,),
        "source_loss": (3,),
    }
    assert len(np.unique(together["loss"])) == 3
    for i in range(3):
        alone = train(
            TINY, training, staged, orders[i : i + 1], rates[i : i + 1], seeds[i : i + 1],
            {name: windows[i : i + 1] for name, windows in held_out.items()},
        )  # fmt: skip
        for name in held_out:
            np.testing.assert_allclose(alone[name][0], together[name][i], rtol=1e-5)


@pytest.mark.slow
def test_training_is_adamw_step_by_step(training):
    # Written out plainly: optax's AdamW, one step after the other, one window batch at a time.
    steps = 34  # not a multiple of what one call usually trains
    tokens, orders, rates, seeds, held_out = inputs(1, steps)
    got = train(TINY, training, stage_tokens(tokens), orders, rates, seeds, held_out)

    params = init(TINY, jax.random.key(0))
    mask = {
        "embedding": True,
        "gain": False,
        "blocks": {k: "gain" not in k for k in params["blocks"]},
    }
    rule = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(
            lambda step: jnp.asarray(rates[0])[step], b1=0.9, b2=0.95, weight_decay=0.1, mask=mask
        ),
    )

    @jax.jit
    def loss(params, windows):
        return token_losses(TINY, params, windows).mean()

    def read(starts):
        return jnp.asarray(tokens[starts[:, None] + np.arange(17)], jnp.int32)

    state = rule.init(params)
    gradient, update = jax.jit(jax.grad(loss)), jax.jit(rule.update)
    for starts in orders[0]:
        updates, state = update(gradient(params, read(starts)), state, params)
        params = optax.apply_updates(params, updates)
    for name, windows in held_out.items():
        np.testing.assert_allclose(got[name][0], loss(params, read(windows[0])), rtol=2e-5)


@pytest.mark.slow
def test_half_precision_trains_too(training):
    tokens, orders, rates, seeds, held_out = inputs(3)
    arguments = (TINY, training, stage_tokens(tokens), orders, rates, seeds, held_out)
    full = train(*arguments)["loss"]
    half = train(*arguments, precision="bfloat16")["loss"]
    np.testing.assert_allclose(half, full, rtol=0.02)
    assert np.any(half != full)


def test_the_rate_is_high_until_it_falls():
    training = Training()
    rates = training.rates(Shape(2, 32), 1000)
    assert rates.dtype == np.float32
    assert rates.max() == np.float32(training.peak_rate(Shape(2, 32)))
    assert np.all(rates[30:800] == rates.max())
    assert 0 < rates[0] < rates[10] < rates.max()
    assert np.all(np.diff(rates[800:]) < 0)
    assert 0 < rates[-1] < 0.01 * rates.max()
    assert training.peak_rate(Shape(2, 128)) < training.peak_rate(Shape(2, 64)) == training.rate


def test_batches_grow_with_the_run():
    training = Training(batch=8)
    assert [training.batch_for(2.0**e) for e in (16, 18, 20, 22, 24, 30)] == [4, 4, 8, 16, 32, 256]


def test_throughput_and_precisions(training):
    assert 0 < flop_per_second(TINY, training, "float32", ensemble=1, steps=2) < math.inf
    assert precision_for("bfloat16") == "bfloat16"
    with pytest.raises(M3Error, match="precision: expected auto, float32 or bfloat16"):
        precision_for("float16")

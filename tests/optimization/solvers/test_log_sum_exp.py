"""Derivatives of the bending features."""

import jax
import jax.numpy as jnp
import numpy as np

from m3jax.optimization.solvers import log_repetition_derivatives, log_text_derivatives


def test_bends_and_their_derivatives():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        k, r = jnp.asarray(rng.uniform(-2, 5, 200)), jnp.asarray(rng.uniform(-4, 0, 200))
        shape = jnp.asarray(rng.uniform(-3, 5, 200))
        for bend in (lambda k, r, s: log_repetition_derivatives(k, s), log_text_derivatives):
            _, by_k, by_r, kk, kr, rr = bend(k, r, shape)
            first = jax.vmap(jax.grad(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(k, r, shape)
            second = jax.vmap(jax.hessian(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(
                k, r, shape
            )
            np.testing.assert_allclose(by_k, first[0], atol=1e-9)
            np.testing.assert_allclose(by_r, first[1], atol=1e-9)
            np.testing.assert_allclose(kk, second[0][0], atol=1e-7)
            np.testing.assert_allclose(kr, second[0][1], atol=1e-7)
            np.testing.assert_allclose(rr, second[1][1], atol=1e-7)

"""The amplitudes that fit best given the exponents."""

import jax
import jax.numpy as jnp
import numpy as np

from m3jax.fitting.engine import feature_matrix, log_loss_and_jacobian, with_best_amplitudes
from m3jax.laws import get_law

from .conftest import one_language


def test_amplitudes_are_the_best_for_their_exponents(table):
    law = get_law("m3")
    with jax.enable_x64(True):
        x, data = one_language(law, table)
        features = feature_matrix(law, data)
        better = np.asarray(with_best_amplitudes(law, jnp.asarray(x), data, features))

        def squares(x):
            predicted, _ = log_loss_and_jacobian(law, x, data, features)
            return float(jnp.sum(data.weight * jnp.expm1(predicted - data.log_loss) ** 2))

        moved = [law.names.index(name) for name in law.terms]
        assert np.array_equal(np.delete(better, moved), np.delete(x, moved))
        assert squares(better) < squares(x)
        # What dilutes gets about as much as its runs ask for, in the middle of them.
        for name, i in zip(law.terms, moved, strict=True):
            for step in (-1.0, 1.0) if name in law.diluting else (-0.01, 0.01):
                worse = better.copy()
                worse[i] += step
                assert squares(worse) > squares(better) * (1 - 1e-3)

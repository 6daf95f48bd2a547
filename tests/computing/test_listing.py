"""Functions as lists of operations, for what is not Python to run."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.computing import NotElementwise, listing
from m3jax.laws import get_law, list_laws
from m3jax.output.html import law_program
from m3jax.recipe import Recipe

SHARE = 0.3  # r_1 / r

# What the page makes of each operation, in Python's words; see `web/src/program.ts`.
OPERATIONS = {
    "abs": abs,
    "add": lambda x, y: x + y,
    "add_any": lambda x, y: x + y,
    "and": lambda x, y: x and y,
    "as bool": bool,
    "as float64": float,
    "clamp": lambda low, x, high: min(max(x, low), high),
    "div": lambda x, y: x / y,
    "eq": lambda x, y: x == y,
    "exp": math.exp,
    "expm1": math.expm1,
    "ge": lambda x, y: x >= y,
    "gt": lambda x, y: x > y,
    "is_finite": math.isfinite,
    "le": lambda x, y: x <= y,
    "log": math.log,
    "log1p": np.log1p,
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "lt": lambda x, y: x < y,
    "max": max,
    "min": min,
    "mul": lambda x, y: x * y,
    "ne": lambda x, y: x != y,
    "neg": lambda x: -x,
    "not": lambda x: not x,
    "or": lambda x, y: x or y,
    "pow": lambda x, y: x**y,
    "select_n": lambda which, no, yes: yes if which else no,
    "sign": np.sign,
    "sqrt": math.sqrt,
    "square": lambda x: x * x,
    "sub": lambda x, y: x - y,
}


def evaluated(program, *arguments):
    """What a listing returns, read back from JSON."""
    program = json.loads(json.dumps(program, allow_nan=False))
    held = dict(enumerate(arguments))
    held |= {place: float(value) for place, value in program["numbers"]}
    for name, place, *operands in program["steps"]:
        values = [held[i] for i in operands]
        if name.startswith("to the "):
            held[place] = values[0] ** int(name.removeprefix("to the "))
        else:
            held[place] = OPERATIONS[name](*values)
    return [held[i] for i in program["out"]]


def test_a_function_comes_back_from_its_listing():
    def function(a, x):
        return jnp.where(x > 0, jnp.log1p(a * jnp.abs(x)), -jnp.inf), jax.grad(lambda t: a * t**3)(
            x
        )

    program = listing(function, 0.0, 0.0)
    assert evaluated(program, 2.0, 1.5) == pytest.approx([math.log1p(3.0), 2 * 3 * 1.5**2])
    assert evaluated(program, 2.0, -1.0)[0] == -math.inf


def test_what_is_no_arithmetic_of_scalars_is_refused():
    with pytest.raises(NotElementwise):
        listing(lambda x: jnp.sum(jnp.arange(3.0) * x), 0.0)
    with pytest.raises(NotElementwise):
        listing(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y * x, 1.0), 0.0)


@pytest.mark.parametrize("name", list_laws())
def test_every_law_and_its_derivatives_go_into_a_page(name):
    law = get_law(name)
    program = law_program(law)
    rng = np.random.default_rng(0)
    low, high = law.theta_start()
    for _ in range(2):
        theta = rng.uniform(low, high)
        ratio = rng.uniform(0.1, 0.6)
        logs = np.log([rng.uniform(1e6, 1e9), 1e7, rng.uniform(1.5, 20), ratio, 1.5 * ratio])

        def log_loss(x, theta=theta):
            n, t, k, r, f = map(jnp.exp, x)
            recipe = Recipe(n, t, k, r, f, SHARE * r)
            return law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)

        with jax.enable_x64(True):
            value = float(log_loss(logs))
            slopes = np.asarray(jax.grad(log_loss)(jnp.asarray(logs)))
            bends = np.asarray(jax.hessian(log_loss)(jnp.asarray(logs)))
        found = evaluated(program, *theta, *logs, SHARE)
        assert len(found) == 21
        assert found[0] == pytest.approx(value, rel=1e-12)
        assert found[1:6] == pytest.approx(slopes, rel=1e-9, abs=1e-12)
        assert found[6:] == pytest.approx(bends[np.tril_indices(5)], rel=1e-7, abs=1e-10)

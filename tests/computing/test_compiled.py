"""Compiled code is found again, and that of what is not used any more goes."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

from m3jax.computing import KEPT, jit_by_first


class Shift:
    """What a caller makes anew, again and again."""

    def __init__(self, by):
        self.by = by


def test_it_is_compiled_once_for_each_and_kept_for_the_last():
    traced = []

    def shifted(shift, x):
        traced.append(shift.by)
        return x + shift.by

    compiled = jit_by_first(shifted)
    first, made = Shift(0), []
    for i in range(KEPT + 8):
        shift = Shift(i)
        made.append(weakref.ref(shift))
        for _ in range(2):
            np.testing.assert_allclose(compiled(shift, np.ones(2)), 1 + i)
        np.testing.assert_allclose(compiled(first, np.ones(2)), 1)
    assert sorted(traced) == [0, *range(KEPT + 8)]
    del shift
    traced.clear()
    gc.collect()
    assert sum(one() is not None for one in made) == KEPT - 1


LARGE = """
import jax, jax.numpy as jnp
jax.jit(lambda x: x + 1)(1.0)  # JAX looks for its cache once
import m3jax, m3jax.fitting
assert jax.config.jax_compilation_cache_dir == GIVEN, "changed by an import"
from m3jax.computing import in_double_precision
with in_double_precision():
    jax.jit(lambda x: sum(jnp.sort(jnp.sin(x + i)) for i in range(60)))(jnp.ones(50))
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "caches/m3jax/xla"),
        ({"M3JAX_CACHE": "own"}, "own"),
        ({"M3JAX_CACHE": "off"}, None),
        ({"JAX_COMPILATION_CACHE_DIR": "theirs"}, "theirs"),
        ({"M3JAX_CACHE": "/dev/null/none"}, None),
    ],
)
def test_what_is_compiled_is_kept_for_other_processes(tmp_path, variables, place):
    kept = {name: v for name, v in os.environ.items() if not name.startswith("JAX_")}
    environment = kept | {"XDG_CACHE_HOME": str(tmp_path / "caches")} | variables
    given = variables.get("JAX_COMPILATION_CACHE_DIR")
    code = LARGE.replace("GIVEN", repr(given))
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip()
    if place is None:
        assert folder == "None"
        assert not list(tmp_path.iterdir())
    else:
        assert (tmp_path / folder) == tmp_path / place
        if given is None:
            assert any((tmp_path / place).iterdir())

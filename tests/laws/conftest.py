"""Numbers as strict as the laws are written for."""

import jax
import pytest


@pytest.fixture
def strict_promotion():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield

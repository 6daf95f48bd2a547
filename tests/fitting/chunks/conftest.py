"""A table, its fit, and processes that fit it."""

import json
import os
import subprocess
import sys

import pytest

from m3jax import fit

from ...conftest import ROOT
from .workers import LAW, OPTIONS, WORKER, made_up


@pytest.fixture(scope="session")
def environment():
    """Of a worker."""
    return os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def table():
    return made_up(5)


@pytest.fixture(scope="session")
def whole(table):
    return fit(table, LAW, **OPTIONS)


@pytest.fixture
def start(environment):
    """Start a worker; whatever is left of it is ended."""
    workers = []

    def start(*, flags="", **order):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps({"options": OPTIONS} | order)],
            env=environment | {"XLA_FLAGS": flags},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()

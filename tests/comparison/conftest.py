"""Made-up runs that tests of this folder share."""

import pytest

from benchmarks.support.synthetic import run_table, true_theta


@pytest.fixture(scope="module")
def runs():
    """Two made-up languages, 24 runs each."""
    return run_table(true_theta(2, 3), 24, 0.003, 5)

"""Quantiles."""

import pytest

from m3jax.fitting.uncertainty import student_quantile


@pytest.mark.parametrize(("freedom", "expected"), [(5, 2.015), (10, 1.812), (60, 1.671)])
def test_student_quantiles(freedom, expected):
    assert student_quantile(0.95, freedom) == pytest.approx(expected, abs=2e-3)

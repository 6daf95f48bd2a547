"""Fits that lean on the other languages, or on a stated prior."""

from ._pool import (
    Priors,
    data_of,
    estimate_priors,
    expected_huber,
    final_data,
    fit_with_priors,
    precision_of,
    prior_factor,
)
from ._population import Basis, Messages, Population

__all__ = [
    "Basis",
    "Messages",
    "Population",
    "Priors",
    "data_of",
    "estimate_priors",
    "expected_huber",
    "final_data",
    "fit_with_priors",
    "precision_of",
    "prior_factor",
]

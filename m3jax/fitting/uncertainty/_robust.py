"""The inverses and quantiles that intervals need."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_LEAST_EIGENVALUE = 1e-12  # of a standardised matrix: below it a direction counts as unknown


def inverse_of_free(matrix: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Inverse (p, p) of a symmetric matrix >= 0 among the free coefficients, zero elsewhere.

    The matrix is standardised to a unit diagonal and its eigenvalues are held above 1e-12 of the
    largest: what is singular comes out large, not infinite.
    """
    out = np.zeros_like(matrix)
    rows = np.flatnonzero(free)
    if len(rows):
        out[np.ix_(rows, rows)] = _regularised_inverse(matrix[np.ix_(rows, rows)])
    return out


def _regularised_inverse(matrix: np.ndarray) -> np.ndarray:
    diagonal = np.diagonal(matrix)
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(matrix / size / size[:, None])
    floor = _LEAST_EIGENVALUE * max(float(values[-1]), 1.0)
    return (vectors / np.maximum(values, floor)) @ vectors.T / size / size[:, None]


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Distribution function of the standard normal, elementwise."""
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in z.tolist()])


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t, as z + Σ_k g_k(z)/v^k (Abramowitz and Stegun 26.7.5).

    z is the normal quantile and v the degrees of freedom; a little low for v < 3.
    """
    z, v = NormalDist().inv_cdf(probability), float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )

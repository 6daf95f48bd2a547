"""Correlations of what varies in the runs, and when they are too close to be told apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

CONFOUNDED = 0.95  # correlation beyond which runs cannot tell two things apart
IDENTICAL = 0.9995  # correlation of two log-variables that are one


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of (n,) and (n,); 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size: Any = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation: Pearson's of the ranks."""
    return pearson(_ranks(a), _ranks(b))


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties sharing theirs."""
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[group]

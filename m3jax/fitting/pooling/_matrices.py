"""Covariances of which some variables are held."""

from __future__ import annotations

import numpy as np


def unit_where_held(free: np.ndarray) -> np.ndarray:
    """Ones on the diagonal for what is not free (..., p): keeps matrices (..., p, p) regular."""
    return np.where(free, 0.0, 1.0)[..., None] * np.eye(free.shape[-1])


def inverse_covariance(cov: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Inverse covariance (L, p, p) of what is free (L, p), zero for the rest."""
    both = free[:, :, None] & free[:, None]
    return np.where(both, np.linalg.inv(np.where(both, cov, 0.0) + unit_where_held(free)), 0.0)


def triangular_factor(cov: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Cholesky factor of a covariance (..., p, p), zero for what is not free (..., p)."""
    return np.where(free[..., None], np.linalg.cholesky(cov + unit_where_held(free)), 0.0)


def prior_factor(cov: np.ndarray, free: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """F with F @ F.T the covariance (L, p, p) of what is free (L, p): its draws are F @ normal.

    F = rotation @ a triangle, so that the normal variables are nearly the rotated variables.
    """
    both = free[:, :, None] & free[:, None]
    rotated = rotation.T @ np.where(both, cov, 0.0) @ rotation
    return np.asarray(rotation @ triangular_factor(rotated, free))


def symmetric(matrix: np.ndarray) -> np.ndarray:
    """The symmetric part of (..., p, p), which rounding has made not quite so."""
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2

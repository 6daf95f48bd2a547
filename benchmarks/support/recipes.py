"""Recipe problems that m3jax and its peers are timed on: known fits, and the limits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks.support.recipe_terms import Face
from benchmarks.support.synthetic import run_table, true_theta
from m3jax.fitting import Fits, Scope
from m3jax.laws import get_law
from m3jax.options import FitOptions
from m3jax.recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE

BOUNDS: dict[str, Any] = {
    "n_params": (1e7, 1e12),
    "epochs": (1.0, 64.0),
    "target_ratio": (0.05, 1.0),
    "final_ratio": (0.05, 1.0),
    "stage_fraction": (0.1, 0.6),
    "first_share": 0.0,
}
COMPUTE, TOKENS = (1e18, 1e21), (1e7, 1e9)
LAWS = ("m3", "m3_posynomial")


def fits_of(languages: int, seed: int, law: str) -> Fits:
    """Known coefficients as if they had been fitted; `m3_posynomial` keeps what it shares."""
    theta = true_theta(languages, seed)
    if law == "m3_posynomial":
        named = dict(zip(get_law("m3").names, theta.T, strict=True))
        zeta = np.random.default_rng([seed, 5]).uniform(-0.3, 0.5, languages)
        # Without the source's text the penalty would be out of proportion: as with it at r = 0.25.
        named["P"] = named["P"] - named["omega"] * np.log1p(3 * np.exp(named["tau"]))
        theta = np.stack([{**named, "zeta": zeta}[name] for name in get_law(law).names], axis=1)
    scope = Scope.of(run_table(true_theta(1, seed), 100, 0.005, seed).recipe)
    ones = np.ones(languages)
    settings = dataclasses.asdict(FitOptions(draws=0))
    return Fits(
        law=get_law(law),
        languages=tuple(f"language{i:04d}" for i in range(languages)),
        theta=theta,
        draws=np.zeros((languages, 0, theta.shape[1])),
        bends=np.zeros((languages, 0, 5)),
        edges=np.zeros((languages, 2, 5)),
        frozen=np.zeros(theta.shape, dtype=bool),
        objective=0 * ones,
        r2=ones,
        n_runs=100 * ones.astype(int),
        converged=ones > 0,
        grading=lambda: ("good",) * languages,
        agreement=ones,
        huber_delta=1e-3 * ones,
        noise=0.005 * ones,
        noise_powers=np.zeros((languages, 2)),
        noise_middle=np.zeros((languages, 2)),
        widening=ones,
        prior_mean=theta,
        prior_precision=np.zeros((*theta.shape, theta.shape[1])),
        prior_weight=0 * ones,
        scopes=(scope,) * languages,
        messages=((),) * languages,
        failed={},
        settings={**settings, "prior": "weak", "source": "<table>", "notes": [], "reading": {}},
    )


def faces(compute: float, tokens: float) -> dict[int, Face]:
    """The three regimes of a problem under `BOUNDS`."""
    names = ("n_params", "epochs", "target_ratio", "final_ratio")
    low, high = (np.log([BOUNDS[name][side] for name in names]) for side in (0, 1))
    budget = np.log(compute / (6 * tokens))
    spend = np.array([[1.0, 1.0, -1.0, 0.0]])
    shortest, longest = BOUNDS["stage_fraction"]
    stage = np.array([[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, -1.0]])
    planes = {
        MONOLINGUAL: np.eye(4)[:, :2],
        SINGLE_STAGE: np.eye(4)[:, :3] + np.eye(4)[:, [3]] @ np.eye(3)[[2]],
        TWO_STAGE: np.eye(4),
    }
    regimes = {}
    for regime, plane in planes.items():
        d = plane.shape[1]
        matrix, right = spend, np.array([budget])
        if regime == TWO_STAGE:
            matrix = np.concatenate([spend, stage])
            right = np.array([budget, np.log(1 / shortest), -np.log(1 / longest)])
        regimes[regime] = Face(plane, matrix @ plane, right, low[:d], high[:d])
    return regimes

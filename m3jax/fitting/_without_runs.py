"""Fits of languages that have no runs: what public run tables say of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..options import FitOptions
from ._beyond import edges_of_scope
from ._fits import Fits
from .calibration import draw_scales, prior_scales
from .engine import log_losses
from .problem import Evidence, amplitudes, reference_recipe
from .uncertainty import language_seed

_SCALES = 1000  # that how far powers may bend is drawn from
GRADE = "weak"
NO_RUNS = "no runs of its own: all of it is what public run tables say of a further language"


def fit_without_runs(
    evidence: Evidence, language: str, *, draws: int = 200, level: float = 0.9, seed: int = 0
) -> Fits:
    """The fits of one language of which nothing is known but what other tables say.

    Its draws are those of the population of tables, and beyond these powers may bend as in fits
    whose runs are too few to tell by how much.
    """
    # Of the seed alone: what a language is called must not change what it is told.
    key = language_seed(seed, "")
    theta = _drawn(evidence, draws, np.random.default_rng([*key, 7]))
    numbers = [np.random.default_rng([*key, 2])]
    _, scales = draw_scales(prior_scales(_SCALES, numbers[0]), numbers, draws)
    normal = np.random.default_rng([*key, 3]).standard_normal(scales.shape)
    law, p = evidence.law, len(evidence.law.names)
    joint = evidence.joint()
    settings = {
        field.name: getattr(FitOptions(), field.name) for field in dataclasses.fields(FitOptions)
    }
    settings |= {
        "draws": draws,
        "level": level,
        "seed": seed,
        "prior": "public",
        "prior_source": evidence.made,
        "pool": "none",
        "source": "no runs: public run tables",
        "notes": [],
        "reading": {},
        "engine": "host",
        "draws_engine": "host",
    }
    return Fits(
        law=law,
        languages=(language,),
        theta=theta[:1],
        draws=theta[None, 1:],
        bends=scales * normal,
        edges=edges_of_scope(evidence.scope)[None],
        frozen=np.zeros((1, p), dtype=bool),
        objective=np.zeros(1),
        r2=np.zeros(1),
        n_runs=np.zeros(1, dtype=np.int64),
        converged=np.ones(1, dtype=bool),
        grading=lambda: (GRADE,),
        agreement=np.ones(1),
        huber_delta=np.full(1, evidence.noise / 2),
        noise=np.full(1, evidence.noise),
        noise_powers=np.zeros((1, 2)),
        noise_middle=np.zeros((1, 2)),
        widening=np.ones(1),
        prior_mean=theta[:1],
        prior_precision=np.linalg.inv(joint.cov)[None],
        prior_weight=np.ones(1),
        scopes=(evidence.scope,),
        messages=((NO_RUNS,),),
        failed={},
        settings=settings,
    )


def _drawn(evidence: Evidence, count: int, rng: np.random.Generator) -> np.ndarray:
    """The expected coefficients and `count` draws of them, (1 + count, p).

    The loss at the reference is what is typical, in each draw.
    """
    law, p = evidence.law, len(evidence.mean)
    normal = np.concatenate([np.zeros((1, p)), _even_normals(count, p, rng)])
    level = np.concatenate([[0.0], rng.standard_normal(count)])
    x = evidence.mean + normal @ evidence.root().T
    amplitude, (low, high) = amplitudes(law), law.theta_bounds()
    theta = np.where(amplitude > 0, x, np.clip(x, low, high)) @ evidence.centre.T
    found = log_losses(law, theta, reference_recipe(evidence.base))[:, 0]
    wanted = evidence.typical[0] + evidence.typical[1] * level
    return np.asarray(theta + amplitude * (wanted - found)[:, None])


def _even_normals(count: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers (count, p) of mean 0 and, if they can be, covariance 1 exactly.

    Each comes with its opposite. What is expected over them then scatters less with the seed.
    """
    half = rng.standard_normal((-(-count // 2), dimensions))
    normal = np.concatenate([half, -half])[:count]
    if len(half) < 2 * dimensions:
        return normal
    root = np.linalg.cholesky(np.cov(normal, rowvar=False, bias=True))
    return np.asarray(np.linalg.solve(root, normal.T).T)

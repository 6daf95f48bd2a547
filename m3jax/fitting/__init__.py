"""Fitting a law to run tables: many languages, starts and bootstrap draws in one batch."""

from ._best_fits import fit_data_with_weak_prior
from ._beyond import BENDING, Spread, bend, beyond, edges_of
from ._fit import fit
from ._fits import SCHEMA_VERSION, Fits
from ._losses import interval, loss_interval, predict, predict_spread
from ._plan import plan_fit
from ._without_runs import fit_without_runs
from .diagnosis import CoefficientDiagnosis, Diagnosis, RunDiagnosis, Trend, diagnose
from .engine import huber
from .pooling import Population
from .problem import Evidence, EvidenceTable, Prior, Scope
from .uncertainty import Profile, covariance, delta_interval, linearise, profile

__all__ = [
    "BENDING",
    "SCHEMA_VERSION",
    "CoefficientDiagnosis",
    "Diagnosis",
    "Evidence",
    "EvidenceTable",
    "Fits",
    "Population",
    "Prior",
    "Profile",
    "RunDiagnosis",
    "Scope",
    "Spread",
    "Trend",
    "bend",
    "beyond",
    "covariance",
    "delta_interval",
    "diagnose",
    "edges_of",
    "fit",
    "fit_data_with_weak_prior",
    "fit_without_runs",
    "huber",
    "interval",
    "linearise",
    "loss_interval",
    "plan_fit",
    "predict",
    "predict_spread",
    "profile",
]

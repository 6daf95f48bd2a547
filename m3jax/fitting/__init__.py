"""Fitting a law to run tables: many languages, starts and bootstrap draws in one batch."""

from ._covariance import covariance, delta_interval
from ._diagnostics import CoefficientDiagnosis, Diagnosis, diagnose
from ._fit import fit
from ._fits import SCHEMA_VERSION, Fits, interval, predict
from ._objective import huber
from ._population import Population
from ._prior import Prior
from ._profile import Profile, profile
from ._residuals import RunDiagnosis, Trend
from ._scope import Scope

__all__ = [
    "SCHEMA_VERSION",
    "CoefficientDiagnosis",
    "Diagnosis",
    "Fits",
    "Population",
    "Prior",
    "Profile",
    "RunDiagnosis",
    "Scope",
    "Trend",
    "covariance",
    "delta_interval",
    "diagnose",
    "fit",
    "huber",
    "interval",
    "predict",
    "profile",
]

"""What the runs determine, which of them stand out, and what to do about it."""

from ._diagnostics import CoefficientDiagnosis, Diagnosis, diagnose
from ._residuals import RunDiagnosis, Trend

__all__ = [
    "CoefficientDiagnosis",
    "Diagnosis",
    "RunDiagnosis",
    "Trend",
    "diagnose",
]

"""What the runs determine, which of them stand out, and what to do about it."""

from ._diagnose import diagnose, grades
from ._diagnosis import CoefficientDiagnosis, Diagnosis, RunDiagnosis, Trend

__all__ = [
    "CoefficientDiagnosis",
    "Diagnosis",
    "RunDiagnosis",
    "Trend",
    "diagnose",
    "grades",
]

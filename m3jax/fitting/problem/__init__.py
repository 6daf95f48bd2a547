"""What a fit is asked: languages in one batch, free coefficients, their space and prior."""

from ._bounds import bounds_reached
from ._evidence import (
    Evidence,
    EvidenceTable,
    JointPrior,
    amplitudes,
    doubting_two_stages,
    reference_centre,
    reference_recipe,
)
from ._prior import Prior, resolve
from ._problem import SPARE_RUNS, FitProblem, prepare_problem
from ._scope import Scope, undetermined
from ._space import ParameterSpace

__all__ = [
    "SPARE_RUNS",
    "Evidence",
    "EvidenceTable",
    "FitProblem",
    "JointPrior",
    "ParameterSpace",
    "Prior",
    "Scope",
    "amplitudes",
    "bounds_reached",
    "doubting_two_stages",
    "prepare_problem",
    "reference_centre",
    "reference_recipe",
    "resolve",
    "undetermined",
]

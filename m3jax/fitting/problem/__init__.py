"""What a fit is asked: languages in one batch, free coefficients, their space and prior."""

from ._bounds import bounds_reached
from ._prior import Prior, resolve
from ._problem import SPARE_RUNS, FitProblem, prepare_problem
from ._scope import Scope, undetermined
from ._space import ParameterSpace

__all__ = [
    "SPARE_RUNS",
    "FitProblem",
    "ParameterSpace",
    "Prior",
    "Scope",
    "bounds_reached",
    "prepare_problem",
    "resolve",
    "undetermined",
]

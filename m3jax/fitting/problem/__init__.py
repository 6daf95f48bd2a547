"""What a fit is asked: languages in one batch, free coefficients, their space and prior."""

from ._prior import Prior, resolve
from ._problem import FitProblem, prepare
from ._scope import Scope, undetermined
from ._space import ParameterSpace

__all__ = [
    "FitProblem",
    "ParameterSpace",
    "Prior",
    "Scope",
    "prepare",
    "resolve",
    "undetermined",
]

"""How sure a fit is: bootstrap draws, covariances, profile likelihood."""

from ._bootstrap import cluster_table, language_seed, weight_power
from ._covariance import covariance, delta_interval
from ._draws import FittedProblem, bootstrap_draws
from ._linearise import check_languages, linearise
from ._linearised import Linearised
from ._profile import Profile, profile
from ._robust import student_quantile

__all__ = [
    "FittedProblem",
    "Linearised",
    "Profile",
    "bootstrap_draws",
    "check_languages",
    "cluster_table",
    "covariance",
    "delta_interval",
    "language_seed",
    "linearise",
    "profile",
    "student_quantile",
    "weight_power",
]

"""How sure a fit is: bootstrap draws, covariances, profile likelihood."""

from ._bootstrap import cluster_table, weight_power
from ._covariance import (
    Linearised,
    check_languages,
    covariance,
    delta_interval,
    linearise,
    student_quantile,
)
from ._draws import draws_of
from ._profile import Profile, profile

__all__ = [
    "Linearised",
    "Profile",
    "check_languages",
    "cluster_table",
    "covariance",
    "delta_interval",
    "draws_of",
    "linearise",
    "profile",
    "student_quantile",
    "weight_power",
]

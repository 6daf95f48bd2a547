"""Fits that lean on the other languages, or on a stated prior."""

from ._basis import LikelihoodMessages, PopulationBasis, SpreadBelief
from ._estimation import estimate_priors
from ._ground import ground_notes, pooled_scopes, public_ground, rest_on_public
from ._likelihood import local_likelihood, volume_gradient
from ._matrices import inverse_covariance, prior_factor
from ._population import Population
from ._priors import Priors, expected_huber, final_fit_data, fit_data, fit_with_priors

__all__ = [
    "LikelihoodMessages",
    "Population",
    "PopulationBasis",
    "Priors",
    "SpreadBelief",
    "estimate_priors",
    "expected_huber",
    "final_fit_data",
    "fit_data",
    "fit_with_priors",
    "ground_notes",
    "inverse_covariance",
    "local_likelihood",
    "pooled_scopes",
    "prior_factor",
    "public_ground",
    "rest_on_public",
    "volume_gradient",
]

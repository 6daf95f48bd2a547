"""What a law says about runs that it was fitted without."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..laws import Law


class FittedTo(NamedTuple):
    """What a law was fitted with in a hold-out, to one language; means where there were several.

    Attributes:
        n_train: runs.
        objective: sum of Huber losses on them.
        n_coefficients: how many were fitted.
        huber_delta: of the objective.
    """

    n_train: float
    objective: float
    n_coefficients: float
    huber_delta: float


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """What a law fitted without some runs says about them.

    Attributes:
        law: the law.
        holdout: a member of `HOLDOUTS`.
        held: runs that were held out, (n,) bool.
        predicted: their predicted losses, nats per token, (n,); NaN for other runs, and where the
            law could not be fitted.
        distance: of each held-out run from the nearest fitted one, decades, (n,).
        fitted: language -> what it was fitted with, where it could be.
        messages: language -> why there is no prediction, where there is none.
    """

    law: Law
    holdout: str
    held: np.ndarray
    predicted: np.ndarray
    distance: np.ndarray
    fitted: Mapping[str, FittedTo]
    messages: Mapping[str, str]

"""Which law to trust: hold-outs, scores on them, and what to make of several laws."""

from ..options import HOLDOUTS
from ._averaging import AveragedRecommendations, recommend, weigh
from ._compare import check_comparison, compare, predict_held_out
from ._held_out import HeldOut
from ._holdouts import Split, extrapolation_distance, holdout_mask, splits
from ._information import information_criteria
from ._regret import slices
from ._scores import Score, Scores, score
from ._stacking import on_simplex, stacking_weights

__all__ = [
    "HOLDOUTS",
    "AveragedRecommendations",
    "HeldOut",
    "Score",
    "Scores",
    "Split",
    "check_comparison",
    "compare",
    "extrapolation_distance",
    "holdout_mask",
    "information_criteria",
    "on_simplex",
    "predict_held_out",
    "recommend",
    "score",
    "slices",
    "splits",
    "stacking_weights",
    "weigh",
]

"""Which law to trust: hold-outs, scores on them, and what to make of several laws."""

from ._compare import HeldOut, check_comparison, compare, predict_held_out
from ._holdouts import HOLDOUTS, Split, extrapolation_distance, holdout_mask, splits
from ._regret import slices
from ._scores import Score, score
from ._stacking import stacking_weights

__all__ = [
    "HOLDOUTS",
    "HeldOut",
    "Score",
    "Split",
    "check_comparison",
    "compare",
    "extrapolation_distance",
    "holdout_mask",
    "predict_held_out",
    "score",
    "slices",
    "splits",
    "stacking_weights",
]

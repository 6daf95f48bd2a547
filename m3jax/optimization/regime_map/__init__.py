"""Which regime is best over compute and corpus size."""

from ._corpus import optimal_corpus
from ._crossings import crossings, first_best
from ._guidelines import Guideline, collapse, direct_switch, spread
from ._map import regime_map
from ._regimes import Crossing, RegimeMap

__all__ = [
    "Crossing",
    "Guideline",
    "RegimeMap",
    "collapse",
    "crossings",
    "direct_switch",
    "first_best",
    "optimal_corpus",
    "regime_map",
    "spread",
]

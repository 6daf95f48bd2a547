"""Which regime is best over compute and corpus size."""

from ._corpus import optimal_corpus
from ._crossings import crossings
from ._guidelines import Guideline, collapse, direct_switch, rms_scatter
from ._map import map_regimes
from ._regimes import Crossing, RegimeMap

__all__ = [
    "Crossing",
    "Guideline",
    "RegimeMap",
    "collapse",
    "crossings",
    "direct_switch",
    "map_regimes",
    "optimal_corpus",
    "rms_scatter",
]

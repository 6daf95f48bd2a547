"""Small language models trained in JAX, to make a run table from two texts.

`prepare` reads the texts and decides which runs to do, `carry_out` trains them.
"""

from ._config import read_pilot_config, recipes_from
from ._design import Design
from ._plan import Plan, prepare
from ._run import Outcome, carry_out, seed_noise
from ._throughput import ensemble_size, flop_per_second
from ._train import Training

__all__ = [
    "Design",
    "Outcome",
    "Plan",
    "Training",
    "carry_out",
    "ensemble_size",
    "flop_per_second",
    "prepare",
    "read_pilot_config",
    "recipes_from",
    "seed_noise",
]

"""Small language models trained in JAX, to make a run table from two texts.

`prepare` reads the texts and decides which runs to do, `carry_out` trains them.
"""

from ..options import PilotDesign
from ..options import PilotDesign as Design
from ._config import read_pilot_config, recipes_from, seeds_from
from ._corpus import BYTES, Text, read_text, read_tokenizer, split_pair
from ._design import from_recipes, space_filling
from ._model import Shape, init, shapes, token_losses
from ._plan import PilotPlan, digest, prepare
from ._run import PilotResult, carry_out, seed_noise
from ._table import read_card, read_rows
from ._throughput import ensemble_size, flop_per_second
from ._train import Training, precision_for, stage_tokens, train
from ._trial import Trial, evenly_spread, reading_order

__all__ = [
    "BYTES",
    "Design",
    "PilotDesign",
    "PilotPlan",
    "PilotResult",
    "Shape",
    "Text",
    "Training",
    "Trial",
    "carry_out",
    "digest",
    "ensemble_size",
    "evenly_spread",
    "flop_per_second",
    "from_recipes",
    "init",
    "precision_for",
    "prepare",
    "read_card",
    "read_pilot_config",
    "read_rows",
    "read_text",
    "read_tokenizer",
    "reading_order",
    "recipes_from",
    "seed_noise",
    "seeds_from",
    "shapes",
    "space_filling",
    "split_pair",
    "stage_tokens",
    "token_losses",
    "train",
]

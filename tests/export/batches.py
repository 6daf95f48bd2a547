"""Sizes, the batch and the files of stages that plans are tested on."""

import json

from m3jax import Batch

SIZES = [1e8, 3e8]


def strict(text: str):
    """Parsed JSON; NaN and Infinity, which are not JSON, are refused."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


BATCH = Batch(size=96, sequence_length=512)


def stage_files(texts, ending):
    """Texts of the two-stage recipe's files, in the order of its stages."""
    bases = [name.removesuffix(f"_stage2{ending}") for name in texts if f"_stage2{ending}" in name]
    (base,) = bases
    return [texts[f"{base}_stage{number}{ending}"] for number in (1, 2)]

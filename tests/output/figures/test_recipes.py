"""Recipes against corpus size, or against compute."""

import pytest

from m3jax import M3Error
from m3jax.output.figures import recipes_by_corpus
from m3jax.variables import VARIABLES

from ..cases import png_of, take

ONE = slice(-1, None)
ALL = slice(None)


@pytest.mark.parametrize(
    ("budgets", "sizes"), [(ALL, ALL), (ALL, ONE), (ONE, ALL), (ONE, ONE), (slice(1, 2), ALL)]
)
@pytest.mark.parametrize("draws", [True, False])
def test_recipes_by_corpus(case, budgets, sizes, draws):
    found = take(case.found if draws else case.undrawn, budgets, sizes)
    for language in found.languages:
        figure = recipes_by_corpus(found, language)
        png_of(figure)
        by_compute = len(found.compute) > 1 and found.target_tokens.shape[1] == 1
        across = VARIABLES["compute" if by_compute else "target_tokens"]
        assert figure.axes[-1].get_xlabel() == across.axis


def test_recipes_by_corpus_of_an_unknown_language(case):
    with pytest.raises(M3Error, match="'Ewe'"):
        recipes_by_corpus(case.found, "Ewe")

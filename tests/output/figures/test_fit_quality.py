"""Predicted against measured loss: every language, whatever its name."""

import dataclasses

import numpy as np
import pytest

from m3jax import M3Error
from m3jax.output.figures import fit_quality

from ..cases import ODD, fits_of, png_of, runs_of


def test_fit_quality_of_languages_with_odd_names(case):
    png_of(fit_quality(case.fits, case.runs))


def test_fit_quality_of_one_language_and_of_many():
    one = runs_of(("Ewe",))
    png_of(fit_quality(fits_of(one, draws=0), one))
    many = runs_of(tuple(f"language {i}" for i in range(12)))
    figure = fit_quality(fits_of(many, draws=0), many)
    png_of(figure)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "4 more languages" in texts


def test_fit_quality_leaves_out_languages_that_were_not_fitted(case):
    stranger = dataclasses.replace(
        case.runs, language=np.where(np.arange(len(case.runs)) < 5, "Rare & <new>", ODD)
    )
    figure = fit_quality(case.fits, stranger)
    assert f"{len(stranger) - 5} runs" in figure.get_suptitle()
    nobody = dataclasses.replace(case.runs, language=np.full(len(case.runs), "Rare & <new>"))
    with pytest.raises(M3Error, match="fitted language"):
        fit_quality(case.fits, nobody)

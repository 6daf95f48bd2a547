"""What all figures share: ticks, medians, no global state, and a clear word without matplotlib."""

import re
import sys

import pytest

from m3jax import M3Error
from m3jax.output.figures import fit_quality, log_ticks, loss_surface, recipes_by_corpus

from ..cases import ODD, last_position, png_of


def test_missing_matplotlib_is_an_error(case, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: fit_quality(case.fits, case.runs),
        lambda: loss_surface(case.fits, case.found, last_position(case.found)),
        lambda: recipes_by_corpus(case.found, ODD),
    ):
        with pytest.raises(M3Error, match=re.escape("pip install 'm3jax[plot]'")):
            draw()


def test_figures_leave_the_global_style_alone(case):
    import matplotlib

    before = dict(matplotlib.rcParams)
    png_of(recipes_by_corpus(case.found, ODD))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("low", "high"), [(0.9, 1.1), (36_000, 48_000), (1, 70), (0.05, 1), (1e9, 1e21), (2, 3.2)]
)
def test_ticks_are_few_and_inside(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_a_notebook_shows_a_figure_without_pyplot(case):
    png = fit_quality(case.fits, case.runs)._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert b"IEND" in png[-12:]

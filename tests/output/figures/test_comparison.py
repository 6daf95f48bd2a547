"""Figures of laws compared: every law that predicts, the best first."""

import pytest

from m3jax import M3Error
from m3jax.output.figures import comparison_figures, parity_by_law, to_png

from ..cases import COMPARED_LAWS


@pytest.mark.slow
def test_figures_show_every_law_that_predicts(compared_runs, held_out):
    figures = comparison_figures(compared_runs, held_out)
    kinds = ("parity", "residuals", "distance")
    assert list(figures) == [f"{k}_{h}" for h in ("compute", "two-stage") for k in kinds]
    for _, figure in figures.values():
        assert to_png(figure, dpi=40).startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figures["parity_compute"][1].axes]
    assert {title.split(":")[0] for title in titles} == set(COMPARED_LAWS)
    errors = [float(title.split(": ")[1].rstrip("%")) for title in titles]
    assert errors == sorted(errors)
    with pytest.raises(M3Error, match="no law predicts"):
        parity_by_law(compared_runs, held_out, "folds")

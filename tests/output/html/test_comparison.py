"""The page of a comparison: who wins, with names that are no HTML, whole or not at all."""

import re

import pytest

from m3jax import M3Error
from m3jax.comparison import score
from m3jax.output.html import verdict, write_comparison


def test_the_page_says_who_wins(compared_runs, held_out, tmp_path):
    scores = score(compared_runs, held_out)
    text = verdict(scores)
    for language in compared_runs.languages:
        best = min(
            (s for s in scores if s.language == language and s.holdout == "compute"),
            key=lambda s: s.mae,
        )
        assert re.search(f"{language}, hold-out compute: {best.law} is best", text)
    page = write_comparison(tmp_path / "a.html", title="<odd> & even", scores=scores)
    assert "&lt;odd&gt; &amp; even" in page.read_text()
    with pytest.raises(M3Error, match="PNG"):
        write_comparison(tmp_path / "b.html", title="", scores=scores, figures={"x": b"no"})
    assert not (tmp_path / "b.html").exists()

"""Comparing laws from the command line: tables, JSON, the page and its figures; the public runs."""

import json
import re

import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, compare, special_case
from m3jax.cli import main
from m3jax.comparison import predict_held_out, score
from m3jax.laws import get_law
from m3jax.output import verdict, write_comparison
from m3jax.output.figures import comparison_figures, parity_by_law, to_png

LAWS = ("chinchilla", "kaplan", "multilingual")


@pytest.fixture(scope="module")
def runs():
    return run_table(true_theta(2, 3), 30, 0.003, 5)


@pytest.fixture(scope="module")
def found(runs):
    return predict_held_out(runs, LAWS, holdouts=["compute", "two-stage"], starts=2)


@pytest.fixture
def table(runs, tmp_path):
    path = tmp_path / "runs.csv"
    runs.to_frame().to_csv(path, index=False)
    return path


def call(capsys, *arguments) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["m3jax", *map(str, arguments)])
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        main()
    return capsys.readouterr().out


def test_json_is_a_list_of_scores(table, capsys):
    options = ("--laws", ",".join(LAWS), "--holdout", "compute,two-stage", "--starts", 2)
    rows = json.loads(call(capsys, "compare", table, *options, "--json"))
    assert [(r["law"], r["holdout"]) for r in rows[::2]] == [
        (law, holdout) for law in LAWS for holdout in ("compute", "two-stage")
    ]
    wanted = {"law", "holdout", "r2", "mae", "objective", "regret", "aic", "bic", "behind"}
    assert all(wanted <= set(row) for row in rows)


def test_terminal_and_page(table, tmp_path, capsys):
    page = tmp_path / "laws.html"
    options = ("--laws", ",".join(LAWS), "--starts", 1, "--report", page)
    out = call(capsys, "compare", table, *options)
    assert "Held-out runs: compute, language0000" in out
    assert max(map(len, out.splitlines())) <= 80
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3
    assert all(law in text for law in LAWS)
    assert "not the paper&#x27;s equation" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--laws", "m4"), "unknown law 'm4'"),
        (("--holdout", "size"), "unknown hold-out 'size'"),
        (("--holdout", "compute,,epochs"), "--holdout: expected NAME"),
        (("--report", "laws.txt"), "ending in .html"),
    ],
)
def test_mistakes_end_with_one_line(table, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        call(capsys, "compare", table, *arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_page_says_who_wins(runs, found, tmp_path):
    scores = score(runs, found)
    text = verdict(scores)
    for language in runs.languages:
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


@pytest.mark.slow
def test_figures_show_every_law_that_predicts(runs, found):
    figures = comparison_figures(runs, found)
    kinds = ("parity", "residuals", "distance")
    assert list(figures) == [f"{k}_{h}" for h in ("compute", "two-stage") for k in kinds]
    for _, figure in figures.values():
        assert to_png(figure, dpi=40).startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figures["parity_compute"][1].axes]
    assert {title.split(":")[0] for title in titles} == set(LAWS)
    errors = [float(title.split(": ")[1].rstrip("%")) for title in titles]
    assert errors == sorted(errors)
    with pytest.raises(M3Error, match="no law predicts"):
        parity_by_law(runs, found, "folds")


def test_special_cases():
    law = get_law("m3_no_repetition")
    assert law.names == ("E", "A", "alpha", "B", "beta", "gamma", "eta")
    quarter = special_case(get_law("m3"), "m3_quarter", {"tau": 0.25})
    assert "tau" not in quarter.names
    for held, words in (
        ({"Q": 0.0}, "no coefficient 'Q'"),
        ({"alpha": 0.5}, "cannot be held at 0.5, only at 0"),
        ({"tau": 1e9}, "expected 1e-08 to 100"),
    ):
        with pytest.raises(M3Error, match=words):
            special_case(get_law("m3"), "x", held)
    with pytest.raises(M3Error, match="bounded, a: cannot be held"):
        special_case(get_law("bounded"), "x", {"a": 0.0})


@pytest.mark.slow
def test_m3_is_first_or_level_on_two_of_three_public_holdouts(shared_data):
    columns = {"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"}
    runs = RunTable.read(shared_data / "muennighoff" / "fit_182.csv", columns=columns)
    laws = ("m3", "m3_posynomial", "chinchilla", "data_constrained", "overfit_penalty", "bounded")
    scores = compare(runs, laws, holdouts=["compute", "epochs", "n_params"])
    mine = {s.holdout: s for s in scores if s.law == "m3"}
    assert mine["epochs"].level_with_best
    assert mine["n_params"].level_with_best
    np.testing.assert_allclose(
        [mine[h].mean_relative_error for h in ("compute", "epochs", "n_params")],
        [0.0365, 0.0414, 0.0296],
        atol=0.001,
    )

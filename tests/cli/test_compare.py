"""`m3jax compare`: JSON, tables on the terminal, the page."""

import pytest

from benchmarks.support.synthetic import run_table, true_theta

from ..conftest import call, ok

LAWS = ("chinchilla", "kaplan", "multilingual")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "runs.csv"
    run_table(true_theta(2, 3), 30, 0.003, 5).to_frame().to_csv(path, index=False)
    return path


def test_json_is_a_list_of_scores(table):
    options = ("--laws", ",".join(LAWS), "--holdout", "compute,two-stage", "--starts", 2)
    rows = ok("compare", table, *options, "--json").json
    assert [(r["law"], r["holdout"]) for r in rows[::2]] == [
        (law, holdout) for law in LAWS for holdout in ("compute", "two-stage")
    ]
    wanted = {"law", "holdout", "r2", "mae", "objective", "regret", "aic", "bic", "behind"}
    assert all(wanted <= set(row) for row in rows)


def test_terminal_and_page(table, tmp_path):
    page = tmp_path / "laws.html"
    options = ("--laws", ",".join(LAWS), "--starts", 1, "--report", page)
    out = ok("compare", table, *options).out
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
        (("--holdout", "size"), "or 'language', got 'size'"),
        (("--holdout", "compute,,epochs"), "--holdout: expected NAME"),
        (("--report", "laws.txt"), "ending in .html"),
    ],
)
def test_mistakes_end_with_one_line(table, arguments, message):
    ended = call("compare", table, *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1

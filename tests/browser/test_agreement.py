"""The page finds the recipes that Python finds."""

import numpy as np
import pytest

from m3jax import RunTable, fit, optimize
from m3jax.output.html import write_calculator
from m3jax.pipeline import read_config
from m3jax.planning import plan
from m3jax.recipe import Recipe

from ..conftest import ROOT, ok

pytestmark = pytest.mark.slow

ASK = """(questions) => {
  const { page, engine } = window.m3jax;
  const infinite = (x) => x ?? Infinity;
  return questions.map(({ language, compute, text, source, recipe, draws }) => {
    const asked = { compute, targetTokens: text, sourceTokens: infinite(source),
      maxEpochs: Infinity, maxParams: Infinity };
    const answer = engine.answer(page.languages[language], asked);
    const at = recipe ? Math.exp(engine.logLoss(page.languages[language].theta, recipe)) : null;
    const { regime, loss, recipe: best, budgetUsed, heldBy, outside, whyNot } = answer;
    return { regime, loss: Number.isFinite(loss) ? loss : null, best, budgetUsed, heldBy, outside,
      whyNot, at, drawn: draws ? engine.overDraws(answer) : null };
  });
}"""
NAMES = {
    "nParams": "n_params",
    "targetTokens": "target_tokens",
    "epochs": "epochs",
    "targetRatio": "target_ratio",
    "finalRatio": "final_ratio",
    "firstRatio": "first_ratio",
}


def _questions(fits, rng, count):
    """Random budgets and corpora, from far below the runs to far beyond them."""
    compute = np.exp(rng.uniform(np.log(2e10), np.log(1e14), count))
    text = np.exp(rng.uniform(np.log(2e3), np.log(3e6), count))
    return [
        (str(rng.choice(fits.languages)), float(c), float(t))
        for c, t in zip(compute, text, strict=True)
    ]


def _in_python(fits, asked, **limits):
    """What `optimize` answers, one question at a time put together into as few calls as may be."""
    rows = []
    for language in fits.languages:
        own = [(c, t) for name, c, t in asked if name == language]
        if not own:
            continue
        budgets, sizes = (sorted({pair[i] for pair in own}) for i in range(2))
        found = optimize(
            fits, compute=budgets, target_tokens=sizes, languages=[language], draws=0, **limits
        )
        place = {(row["compute"], row["target_tokens"]): row for row in found.records()}
        rows += [((language, *pair), place[pair]) for pair in own]
    return dict(rows)


def _recipe(row):
    """A recipe's leaves by their names in the page; None where there is none."""
    return {new: row[old] for new, old in NAMES.items()} if row["feasible"] else None


@pytest.mark.parametrize(
    ("law", "count", "source"),
    [("m3", 200, 3e6), ("m3", 60, None), ("data_constrained", 30, 3e6), ("m3_one_stage", 30, 3e6)],
)
def test_the_page_finds_what_python_finds(opened, tmp_path, pilot_runs, law, count, source):
    fits = fit(pilot_runs, law=law, draws=0)
    asked = _questions(fits, np.random.default_rng(0), count)
    limits = {} if source is None else {"max_source_tokens": source}
    from_python = _in_python(fits, asked, **limits)
    path = write_calculator(tmp_path / "page.html", fits)
    questions = [
        {
            "language": fits.languages.index(name),
            "compute": compute,
            "text": text,
            "source": source,
            "recipe": _recipe(from_python[name, compute, text]),
        }
        for name, compute, text in asked
    ]
    found = opened(path).page.evaluate(ASK, questions)
    losses = 0
    for key, answer in zip(asked, found, strict=True):
        row = from_python[key]
        assert (answer["regime"] >= 0) == row["feasible"], (key, row["infeasible"], answer)
        if not row["feasible"]:
            assert answer["whyNot"]
            continue
        losses += 1
        # The recipe reads a part of the text where it has fewer epochs than one.
        if row["epochs"] >= 1 and row["share_read"] > 1 - 1e-9:
            assert answer["at"] == pytest.approx(row["loss"], rel=1e-6)
        assert answer["loss"] == pytest.approx(row["loss"], rel=1e-5)
        if law == "m3":  # others have one loss for many recipes
            assert answer["budgetUsed"] == pytest.approx(row["budget_used"], rel=1e-3, abs=1e-3)
    assert losses > 0.8 * count


def test_intervals_shares_and_words_are_those_of_python(opened, quickstart, quickstart_fits):
    report = opened(quickstart / "report.html")
    fits = quickstart_fits
    # The report keeps to the limits of its configuration.
    limits = dict(read_config(ROOT / "configs" / "quickstart.toml").optimize)
    limits |= {"compute": [5e11, 2e12, 3e13], "target_tokens": [16384, 262144]}
    found = optimize(fits, **limits)
    rows = found.records()
    answers = report.page.evaluate(
        ASK,
        [
            {
                "language": fits.languages.index(row["language"]),
                "compute": row["compute"],
                "text": row["target_tokens"],
                "source": limits["max_source_tokens"],
                "draws": True,
            }
            for row in rows
        ],
    )
    for row, answer in zip(rows, answers, strict=True):
        drawn = answer["drawn"]
        assert drawn["loss"] == pytest.approx([row["loss_low"], row["loss_high"]], rel=1e-4)
        for new, old in NAMES.items():
            ends = [row[f"{old}_low"], row[f"{old}_high"]] if f"{old}_low" in row else None
            if ends is not None and ends[0] is not None:
                assert drawn["recipe"][new] == pytest.approx(ends, rel=2e-2), (old, row)
        shares = [row[f"share_{key}"] for key in ("monolingual", "single_stage", "two_stage")]
        assert drawn["share"] == pytest.approx(shares, abs=0.011)
        assert drawn["regret"] == pytest.approx(row["regret"], abs=2e-4)
        # The page says of the source text that it is the reader's.
        held = [w for w in row["held_by"] if not w.startswith("source_tokens")]
        assert [w for w in answer["heldBy"] if not w.startswith("source text")] == held
        outside = [
            f"{o['variable']} {o['factor']:.3g}× {o['side']} the runs" for o in answer["outside"]
        ]
        assert outside == row["outside_runs"]


def test_without_a_fit_the_page_plans_as_plan_does(opened, tmp_path):
    path = tmp_path / "page.html"
    ok("calculator", "-o", path)
    found = opened(path).page.evaluate(
        ASK, [{"language": 0, "compute": 1e21, "text": 2e9, "source": 1e12}]
    )[0]
    planned = plan(compute=1e21, target_tokens=2e9, max_source_tokens=1e12)
    ours, theirs = planned.recommendations.at(0, 0, 0), found["best"]
    # Both are the best on average over draws, of which the page takes some.
    theirs = Recipe(**{old: np.float64(theirs[new]) for new, old in NAMES.items()})
    mean = [float(np.log(planned.fits.predict_draws(r)).mean()) for r in (ours, theirs)]
    assert mean[1] == pytest.approx(mean[0], abs=2e-3)
    assert theirs.n_params == pytest.approx(ours.n_params, rel=0.3)
    loss = float(planned.recommendations.loss[0, 0, 0])
    assert found["loss"] == pytest.approx(loss, rel=0.01)


@pytest.fixture(scope="module")
def pilot_runs():
    return RunTable.read(ROOT / "m3jax" / "data" / "pilot_debian.csv")

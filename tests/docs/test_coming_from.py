"""What the page for newcomers from other tools claims of m3jax, held against its own code."""

import numpy as np
import pytest

from m3jax import diagnose, fit

from ..conftest import ROOT
from .test_examples import blocks

PAGE = ROOT / "docs" / "coming_from.md"


@pytest.fixture(scope="module")
def names():
    names = {}
    for language, code in blocks(PAGE):
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.mark.slow
def test_its_figures_are_those_of_its_code(names):
    answer = names["answer"]
    billions = [answer[name] / 1e9 for name in ("n_params", "n_params_low", "n_params_high")]
    said = (
        f"m3jax says {names['fits'].coefficients()['E']:.3f}, "
        f"{float(names['fits'].predict(names['recipe'])):.3f} and {billions[0]:.1f} billion "
        f"(90% interval {billions[1]:.1f} to {billions[2]:.1f})"
    )
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert said in text
    # The truth behind the made-up runs: A N^-alpha + B D^-beta is least where both fall alike.
    ratio = (0.29 * 185 / (0.356 * 1627)) ** (1 / 0.646)
    best = ratio * (1e22 / 6) ** (0.356 / 0.646) / 1e9
    loss = 1.7 + 185 * 1e9**-0.29 + 1627 * 2e10**-0.356
    assert f"is 1.7, {loss:.3f} and {best:.1f} billion" in text


@pytest.mark.slow
def test_the_same_objective_has_the_same_answer(names):
    found, alike = names["found"].x, names["alike"].coefficients()
    theirs = [*np.exp(found[[0, 1, 3]]), *found[[2, 4]]]
    ours = [alike[name] for name in ("E", "A", "B", "alpha", "beta")]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.slow
def test_a_swarm_is_said_to_be_of_one_size_and_length(names):
    np.testing.assert_allclose(names["table"].recipe.epochs, [1.5, 4.5, 9.0])
    verdicts = diagnose(fit(names["table"]), names["table"])["all"].verdicts
    for said in ("all runs have one model size", "all runs have the same total tokens"):
        assert any(verdict.startswith(said) for verdict in verdicts), verdicts
        assert said in " ".join(PAGE.read_text(encoding="utf-8").split())

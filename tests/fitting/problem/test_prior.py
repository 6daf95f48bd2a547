"""Priors that users state."""

import numpy as np
import pytest

from benchmarks.support.priors import weak_prior
from m3jax import M3Error, RunTable, fit
from m3jax.fitting import Prior
from m3jax.laws import get_law


@pytest.mark.slow
def test_a_stated_prior_decides_what_runs_leave_open(eight):
    law = get_law("chinchilla")
    tight = Prior({**weak_prior(law).ranges, "alpha": (0.449, 0.451)}, "a guess")
    fits = fit(eight, law, prior=tight, draws=20)
    assert fits.theta[1:, 2] == pytest.approx(0.45, abs=0.01)
    assert fits.settings["prior"] == "given"
    assert fits.settings["prior_ranges"]["alpha"] == [0.449, 0.451]
    assert fits.settings["prior_source"] == "a guess"
    low, high = fits.intervals(fits.languages[1])["alpha"]
    assert low < 0.45 < high
    # What is not named is in its usual range.
    only = fit(eight, prior=Prior({"alpha": (0.3, 0.4)}), draws=0)
    assert not only.failed


@pytest.mark.slow
def test_amplitudes_are_stated_as_shares_of_the_loss(eight):
    law = get_law("chinchilla")
    ranges = {**weak_prior(law).ranges, "E": (0.6990, 0.7010)}
    fits = fit(eight, law, prior=Prior(ranges), draws=0)
    for name in fits.languages[1:]:
        loss = eight.for_language(name).loss
        share = fits.coefficients(name)["E"] / np.exp(np.mean(np.log(loss)))
        assert share == pytest.approx(0.7, abs=0.02)


@pytest.mark.slow
def test_a_named_coefficient_is_not_frozen(eight):
    runs = RunTable.from_frame(eight.to_frame().assign(n_params=1e8))
    prior = Prior({"A": (0.1, 0.2), "alpha": (0.3, 0.4)})
    fits = fit(runs, "chinchilla", prior=prior, draws=0)
    assert not fits.frozen.any()
    assert fits.coefficients(fits.languages[1])["alpha"] == pytest.approx(0.35, abs=0.01)
    assert "A, alpha not determined by these runs: taken from the prior" in fits.messages[0]


@pytest.mark.slow
def test_public_prior(eight):
    for law in ("m3", "chinchilla"):
        prior = Prior.public(get_law(law))
        prior.check(get_law(law))
        assert set(prior.ranges) == set(get_law(law).names)
        assert "Muennighoff" in prior.source
    fits = fit(eight, "m3", prior="public", draws=0)
    assert not fits.failed
    assert fits.settings["prior"] == "public"
    assert "8 runs for 14 coefficients: the stated prior decides most of them" in fits.messages[1]


def test_pooling_takes_a_stated_prior(few):
    fits = fit(few, pool="partial", prior="public", draws=0)
    assert fits.population is not None
    assert not fits.failed


def test_prior_files(eight, tmp_path):
    path = Prior({"alpha": (0.3, 0.4), "beta": (0.2, 0.3)}, "me").save(tmp_path / "prior.json")
    assert Prior.read(path) == Prior({"alpha": (0.3, 0.4), "beta": (0.2, 0.3)}, "me")
    fits = fit(eight, "chinchilla", prior=path, draws=0)
    assert fits.settings["prior"] == str(path)
    assert fits.save(tmp_path / "fits.json").exists()


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"nope": (0, 1)}, "law chinchilla has no coefficient 'nope'; it has E, A, alpha"),
        ({"alpha": (0.4, 0.3)}, "prior alpha: expected low < high, got 0.4 and 0.3"),
        ({"alpha": (0.3, 0.3)}, "expected low < high"),
        ({"alpha": (-0.1, 0.3)}, "prior alpha = -0.1 to 0.3: expected values within 0 to 3"),
        ({"E": (-1.0, 0.3)}, "the share of the loss its term makes up"),
        ({"alpha": (0.1, float("nan"))}, "expected low < high"),
        ({"alpha": 0.3}, r"prior alpha: expected \(low, high\), got 0.3"),
    ],
)
def test_prior_errors(eight, ranges, message):
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", prior=Prior(ranges))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("{}", "not a prior file"),
        ('{"kind": "m3jax prior", "laws": {"m3": {}}}', "nothing on law chinchilla; it has m3"),
        ('{"kind": "m3jax prior"}', 'expected "ranges"'),
        ('{"kind": "m3jax prior", "ranges": {}, "source": 3}', 'expected "source", text'),
        ('{"kind": "m3jax prior", "ranges": {"alpha": [0, 1%s]}}' % ("0" * 400), "prior alpha"),
        ('{"kind": "m3jax prior", "ranges": {"alpha": 3}}', r"prior alpha: expected \[low, high\]"),
    ],
)
def test_prior_file_errors(eight, tmp_path, text, message):
    path = tmp_path / "prior.json"
    path.write_text(text)
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", prior=str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "strong"}, "expected 'weak', 'none', 'public' or the path of a .json file"),
        ({"prior": 3}, "expected a name, a path or a Prior, got 3"),
        ({"prior": "absent.json"}, "absent.json: prior cannot be read"),
        ({"pool": "half"}, "pool: expected 'none' or 'partial' or 'full', got 'half'"),
        ({"pool": "partial", "prior": "none"}, "prior: pooling needs one"),
    ],
)
def test_option_errors(eight, options, message):
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", **options)

"""Bounds given are kept, refused or said to have no effect; what holds recipes is said."""

import dataclasses

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, Recipe, optimize
from m3jax.fitting import Scope
from m3jax.laws import get_law
from m3jax.optimization.question import (
    allowed_ranges,
    distances,
    runs_to_train,
    stepping_stones,
)
from m3jax.options import Limits
from m3jax.recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE

from ..known_fits import fits_of

M3 = get_law("m3")


def scope_of(**changes) -> Scope:
    """Of runs that vary everything but what is changed."""
    runs = {
        "n_params": [6e7, 1e9, 2e8, 5e8],
        "target_tokens": [5e7, 2e9, 2e9, 1e9],
        "epochs": [1.0, 12.0, 4.0, 2.0],
        "target_ratio": [1.0, 0.1, 0.5, 0.2],
        "final_ratio": [1.0, 0.1, 0.75, 0.8],
    }
    return Scope.of(Recipe.create(**{**runs, **changes}))


ONE_STAGE = {"final_ratio": None}
ONE_EPOCH = {"epochs": 1.0}
ONE_SIZE = {"n_params": 5e7}


def allowed(law=M3, runs=(), **limits):
    return allowed_ranges("xx", law, scope_of(**dict(runs)), Limits(**limits))


def told(ranges) -> str:
    return "\n".join(ranges.messages)


def test_by_default_size_and_tokens_go_far_and_the_rest_stays():
    ranges = allowed().ranges
    assert (ranges["n_params"].low, ranges["n_params"].high) == pytest.approx((6e5, 1e11))
    assert ranges["target_tokens"].high == pytest.approx(2e11)
    assert "our default: 100×" in ranges["total_tokens"].high_source
    assert (ranges["epochs"].low, ranges["epochs"].high) == (0.0, 12.0)  # in part: always
    assert (ranges["target_ratio"].low, ranges["target_ratio"].high) == (0.1, 1.0)


def test_a_factor_widens_everything_and_frees_what_is_not_varied():
    by_ten = allowed(runs=ONE_SIZE | ONE_STAGE, extrapolate=10)
    assert (by_ten.ranges["n_params"].low, by_ten.ranges["n_params"].high) == (5e6, 5e8)
    assert by_ten.ranges["epochs"].high == 120.0
    assert by_ten.ranges["target_ratio"].high == 1.0
    assert TWO_STAGE in by_ten.regimes
    assert TWO_STAGE not in allowed(runs=ONE_STAGE, extrapolate=1).regimes


@pytest.mark.parametrize("name", ["n_params", "epochs", "target_ratio", "final_ratio"])
def test_what_is_given_is_kept(name):
    span = {"n_params": (5e7, 3e9), "epochs": (2.0, 8.0)}.get(name, (0.3, 0.7))
    ranges = allowed(**{name: span})
    kept = ranges.ranges[name]
    assert (kept.low, kept.high) == span
    assert kept.low_source == kept.high_source == name
    assert ranges.messages == ()


@pytest.mark.parametrize("runs", [ONE_EPOCH, {}])
def test_reading_a_part_of_the_text_is_no_extrapolation(runs):
    span = allowed(runs=runs, epochs=(0.01, 1.0)).ranges["epochs"]
    assert (span.low, span.high) == (0.0, 1.0)


def test_what_has_no_other_effect_is_said_and_what_would_lift_it():
    ranges = allowed(runs=ONE_SIZE, n_params=(1e7, 1e9))
    assert ranges.ranges["n_params"].is_held
    assert "n_params held at 5e+07: the runs do not vary it, so n_params=(" in told(ranges)
    assert "extrapolate=20 varies it" in told(ranges)
    assert "epochs=(1, 8) is cut at 1" in told(allowed(runs=ONE_EPOCH, epochs=(1.0, 8.0)))
    cut = allowed(n_params=(1e9, 1e13))
    assert cut.ranges["n_params"].high == pytest.approx(1e11)
    assert "is cut at 100B, our default: 100×" in told(cut)


@pytest.mark.parametrize(
    ("runs", "law", "limits", "words"),
    [
        ({}, "m3", {"n_params": (1e12, 1e12)}, r"1e\+03× above .* n_params 10.0B, 100B first"),
        ({}, "m3", {"n_params": (1e3, 1e4)}, r"6e\+03× below .* extrapolate=6000"),
        ({}, "m3", {"n_params": (1e11, 1e11), "extrapolate": 50}, r"than 50×.* extrapolate=100$"),
        ({}, "m3", {"target_ratio": (1e-4, 5e-4)}, r"200× below the runs"),
        (ONE_SIZE, "m3", {"n_params": (1e8, 1e9)}, r"2× above .* not vary it.* extrapolate=2"),
        (ONE_EPOCH, "m3", {"epochs": (2.0, 8.0)}, r"2× above .* extrapolate=2"),
        ({}, "chinchilla", {"target_ratio": (0.2, 0.8)}, "chinchilla does not see target_ratio"),
        ({}, "m3", {"ladder": (1e13, 1e14)}, "no size of the ladder .*our default"),
        (ONE_SIZE, "m3", {"ladder": (1e8, 1e9)}, "no size of the ladder .*extrapolate=FACTOR"),
    ],
)  # fmt: skip
def test_bounds_out_of_reach_are_refused_in_one_line(runs, law, limits, words):
    with pytest.raises(M3Error, match=words) as error:
        allowed(get_law(law), runs=runs, **limits)
    assert "\n" not in str(error.value)


def test_options_of_a_final_stage_have_no_effect_where_there_is_none():
    free = allowed(runs=ONE_STAGE)
    ranges = allowed(
        runs=ONE_STAGE,
        final_ratio=(0.5, 1.0),
        stage_fraction=(0.1, 0.2),
        first_share=0.1,
        min_first_ratio=0.1,
    )
    assert ranges.regimes == free.regimes == (MONOLINGUAL, SINGLE_STAGE)
    assert ranges.ranges == free.ranges
    assert "the runs cannot judge a final stage" in told(ranges)
    for flag in ("final_ratio", "stage_fraction", "first_share", "min_first_ratio"):
        assert flag in told(ranges)
    assert "no effect" not in told(free)
    below = allowed(target_ratio=(0.5, 0.9), final_ratio=(0.1, 0.3))
    assert TWO_STAGE not in below.regimes
    assert "no final_ratio above 0.5" in told(below)


def test_options_of_source_text_have_no_effect_where_there_is_none():
    ranges = allowed(get_law("chinchilla"), max_source_tokens=1e9)
    assert ranges.regimes == (MONOLINGUAL,)
    assert "no source text is allowed: max_source_tokens has no effect" in told(ranges)
    assert "leaves no two-stage recipe" in told(allowed(min_first_ratio=0.1))
    assert "its effect on the loss is not judged" in told(allowed(first_share=0.5))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"flops_per_second": 1e14}, "flops_per_second: has no effect without max_gpu_hours"),
        ({"max_source_epochs": 2.0}, "max_source_epochs: has no effect without max_source_tokens"),
        ({"extrapolate": 0.5}, "extrapolate: expected a factor >= 1"),
        ({"extrapolate": True}, "extrapolate: expected"),
    ],
)
def test_options_without_effect_are_refused(limits, words):
    with pytest.raises(M3Error, match=words):
        Limits(**limits)


def recipe_of(**changes) -> Recipe:
    values = {"n_params": 2e8, "target_tokens": 1e9, "epochs": 4.0, "target_ratio": 0.5}
    return Recipe.create(**(values | changes))


def test_distances_are_by_variable_and_on_the_text_that_is_read():
    scope = scope_of()
    assert distances(scope, recipe_of()) == ()
    part = recipe_of(target_tokens=1e13, epochs=1e-4)  # a billion tokens of it
    assert distances(scope, part) == ()
    far = distances(scope, recipe_of(n_params=3e10, target_ratio=0.02))
    assert [str(distance) for distance in far] == [
        "n_params 30× above the runs",
        "target_ratio 5× below the runs",
    ]


def test_runs_to_train_bring_the_recipe_within_ten_times():
    scope = scope_of()
    assert runs_to_train(scope, recipe_of(n_params=5e9)) == ""
    assert runs_to_train(scope, recipe_of(n_params=1e11)).startswith("10.0B parameters on 8.00B")
    for factor in (20.0, 100.0, 5e4):
        stones = np.array([1.0, *stepping_stones(1.0, factor, factor), factor])
        assert np.all(stones[1:] / stones[:-1] <= 10 * (1 + 1e-9))
        assert len(stones) == 2 + max(int(np.ceil(np.log10(factor) - 1e-9)) - 1, 1)


def test_an_unspent_budget_and_what_holds_it_are_said():
    fits = fits_of("m3", 1)
    found = optimize(
        fits, compute=1e23, target_tokens=[1e8, 1e20], n_params=(5e7, 3e9), epochs=(1.0, 8.0)
    )
    row, capped = found.records()
    assert row["budget_used"] == pytest.approx(found.recipe.compute[0, 0, 0] / 1e23)
    assert row["budget_used"] < 0.95
    assert "n_params ≤ 3.00B (n_params)" in row["held_by"]
    assert "all target text read" in row["held_by"]
    assert any(s.startswith("only") and "n_params" in s for s in row["warnings"])
    # More text than can be judged is held at our own default, which is said, and how to lift it.
    highest = fits.scopes[0].ranges["target_tokens"][1]
    assert capped["share_read"] <= 100 * highest / 1e20 * (1 + 1e-9)
    assert capped["loss"] <= row["loss"] + 1e-9


def test_our_default_that_holds_a_recipe_is_said():
    fits = fits_of("m3", 1)
    scope = fits.scopes[0]
    small = dataclasses.replace(scope, ranges=scope.ranges | {"n_params": (1e4, 1e5)})
    fits = dataclasses.replace(fits, scopes=(small,))
    row = optimize(fits, compute=1e21, target_tokens=1e9).records()[0]
    assert row["n_params"] == pytest.approx(1e7, rel=1e-6)
    assert row["extrapolation"] == "up to 100×"
    assert any(
        "our default: 100×" in held and "extrapolate=FACTOR" in held for held in row["held_by"]
    )
    assert any("train 1.00M parameters" in sentence for sentence in row["warnings"])
    lifted = optimize(fits, compute=1e21, target_tokens=1e9, extrapolate=1e6).records()[0]
    assert lifted["loss"] < row["loss"]


def test_a_final_ratio_does_not_move_recipes_of_one_stage():
    fits = fits_of("m3", 2)
    options = {"compute": 1e20, "target_tokens": 3e7, **_recipes.BOUNDS}
    free = optimize(fits, **options)
    bound = optimize(fits, **{**options, "final_ratio": (0.6, 1.0)})
    np.testing.assert_allclose(
        bound.by_regime_loss[..., [MONOLINGUAL, SINGLE_STAGE]],
        free.by_regime_loss[..., [MONOLINGUAL, SINGLE_STAGE]],
        rtol=1e-9,
    )

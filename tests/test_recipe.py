"""The recipe: what follows from it, the stage plan, the checks, and its life as a pytree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import M3Error
from m3jax.recipe import MONOLINGUAL, REGIMES, SINGLE_STAGE, TWO_STAGE, Recipe
from m3jax.stages import Batch, apportion

GOOD = {"n_params": 1e8, "target_tokens": 2e6, "epochs": 5.0}
PROPERTIES = (
    "target_tokens_seen",
    "total_tokens",
    "source_tokens",
    "compute",
    "is_two_stage",
    "stage_fraction",
    "regime",
)


def recipe(**changes):
    return Recipe.create(**{**GOOD, **changes})


TWO = {"target_ratio": 0.25, "final_ratio": 0.5, "first_ratio": 0.1}
BATCH = {
    "target_ratio": np.array([1.0, 0.25, 0.25, 0.25]),
    "final_ratio": np.array([1.0, 0.25, 1.0, 0.5]),
    "first_ratio": np.array([1.0, 0.25, 0.0, 0.1]),
}


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


# What follows from a recipe


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("target_tokens_seen", 1e7),  # 5 · 2e6
        ("total_tokens", 4e7),  # 1e7 / 0.25
        ("source_tokens", 3e7),
        ("compute", 2.4e16),  # 6 · 1e8 · 4e7
        ("stage_fraction", 0.375),  # 0.15 / 0.4
    ],
)
def test_derived_quantity_by_hand(name, expected):
    assert getattr(recipe(**TWO), name) == pytest.approx(expected, rel=1e-14)


def test_a_monolingual_recipe_reads_no_source():
    one = recipe()
    assert (one.source_tokens, one.total_tokens, one.stage_fraction) == (0.0, 1e7, 1.0)


@pytest.mark.parametrize(
    ("changes", "first", "fraction"),
    [
        ({}, 1.0, 1.0),
        ({"target_ratio": 0.25}, 0.25, 1.0),
        ({"target_ratio": 0.25, "final_ratio": 1.0}, 0.0, 0.25),
        ({"target_ratio": 0.3, "final_ratio": 0.1 * 3}, 0.3, 1.0),  # equal but for rounding
    ],
)
def test_defaults_of_the_stages(changes, first, fraction):
    made = recipe(**changes)
    assert made.first_ratio == pytest.approx(first)
    assert made.stage_fraction == pytest.approx(fraction)


@pytest.mark.parametrize(
    ("ratio", "final", "regime"),
    [
        (1.0, 1.0, MONOLINGUAL),
        (1 - 1e-12, 1.0, MONOLINGUAL),
        (1 - 1e-6, 1 - 1e-6, SINGLE_STAGE),
        (1 - 1e-6, 1.0, TWO_STAGE),
        (0.3, 0.3, SINGLE_STAGE),
        (0.3, 0.1 * 3, SINGLE_STAGE),
        (0.1 * 3, 0.3, SINGLE_STAGE),
        (0.3, 0.3001, TWO_STAGE),
        (1e-6, 1.0, TWO_STAGE),
    ],
)
def test_regime(ratio, final, regime):
    made = recipe(target_ratio=ratio, final_ratio=final)
    assert made.regime == regime
    assert made.is_two_stage == (regime == TWO_STAGE)


def test_regimes_index_their_names():
    assert REGIMES[MONOLINGUAL].startswith("monolingual")
    assert REGIMES[SINGLE_STAGE] == "multilingual single-stage"
    assert REGIMES[TWO_STAGE] == "multilingual two-stage"


@pytest.mark.parametrize("name", PROPERTIES)
def test_numpy_recipes_stay_numpy_in_float64(name):
    value = getattr(recipe(**BATCH), name)
    assert isinstance(value, np.ndarray)
    assert value.shape == (4,)
    assert value.dtype in (np.float64, np.bool_, np.int64)


# The stage plan

PLANS = {
    "monolingual": {},
    "single-stage": {"target_ratio": 0.25},
    "nearly one": {"target_ratio": np.nextafter(1.0, 2.0)},
    "two-stage from nothing": {"target_ratio": 0.25, "final_ratio": 1.0},
    "two-stage from some": TWO,
    "final ratio rounded up": {"target_ratio": 0.5, "final_ratio": np.nextafter(1.0, 2.0)},
    "rare target": {"target_ratio": 1e-6, "final_ratio": 1e-3},
}


@pytest.fixture(params=PLANS.values(), ids=PLANS)
def planned(request):
    return recipe(**request.param)


def total(made, field):
    return sum(stage[field] for stage in made.stage_plan())


def test_stages_sum_to_the_run(planned):
    assert total(planned, "fraction") == pytest.approx(1)
    assert total(planned, "tokens") == pytest.approx(float(planned.total_tokens))
    assert total(planned, "target_tokens") == pytest.approx(1e7)
    assert total(planned, "source_tokens") == pytest.approx(float(planned.source_tokens), abs=1e-2)
    assert total(planned, "target_epochs") == pytest.approx(5.0)


def test_stage_probabilities_are_probabilities(planned):
    for stage in planned.stage_plan():
        assert stage["target_probability"] + stage["source_probability"] == 1.0
        assert 0 <= stage["target_probability"] <= 1
        assert stage["target_tokens"] == pytest.approx(
            stage["tokens"] * stage["target_probability"]
        )


def test_stages_are_numbered_and_not_empty(planned):
    plan = planned.stage_plan()
    assert [stage["stage"] for stage in plan] == list(range(1, len(plan) + 1))
    assert all(stage["tokens"] > 0 for stage in plan)


@pytest.mark.parametrize(
    ("changes", "tokens", "targets", "probabilities"),
    [
        ({}, [1e7], [1e7], [1.0]),
        ({"target_ratio": 0.25}, [4e7], [1e7], [0.25]),
        ({"target_ratio": 0.25, "final_ratio": 1.0}, [3e7, 1e7], [0.0, 1e7], [0.0, 1.0]),
        (TWO, [2.5e7, 1.5e7], [2.5e6, 7.5e6], [0.1, 0.5]),
    ],
)
def test_stage_plan_by_hand(changes, tokens, targets, probabilities):
    plan = recipe(**changes).stage_plan()
    assert [stage["tokens"] for stage in plan] == pytest.approx(tokens)
    assert [stage["target_tokens"] for stage in plan] == pytest.approx(targets)
    assert [stage["target_probability"] for stage in plan] == pytest.approx(probabilities)


def test_stage_plan_is_plain_python(planned):
    for stage in planned.stage_plan():
        assert {type(value) for value in stage.values()} == {int, float}


BATCH_OF_TOKENS = Batch(size=64, sequence_length=128)


@pytest.mark.parametrize("batch", [None, Batch(1, 1), Batch(7, 100), BATCH_OF_TOKENS])
def test_stages_languages_and_totals_agree_to_the_token(planned, batch):
    plan = planned.stage_plan(batch)
    step, sequence = (1, 1) if batch is None else (batch.tokens, batch.sequence_length)
    assert sum(stage["tokens"] for stage in plan) == round(planned.total_tokens) // step * step
    for stage in plan:
        assert stage["tokens"] == stage["target_tokens"] + stage["source_tokens"]
        assert stage["target_probability"] + stage["source_probability"] == 1.0
        assert stage["target_tokens"] % sequence == stage["tokens"] % step == 0
        assert stage["target_probability"] == stage["target_tokens"] / stage["tokens"]
    ratios = [float(planned.first_ratio), float(planned.final_ratio)][-len(plan) :]
    for stage, ratio in zip(plan, ratios, strict=True):
        assert abs(stage["target_tokens"] - ratio * stage["tokens"]) <= sequence / 2
    assert sum(s["fraction"] for s in plan[:-1]) == pytest.approx(
        1 - float(planned.stage_fraction), abs=step / planned.total_tokens
    )


def test_steps_run_on_through_the_stages():
    plan = recipe(**TWO).stage_plan(BATCH_OF_TOKENS)  # 4e7 tokens, 2.5e7 before the final stage
    assert [stage["steps"] for stage in plan] == [3051, 1831]
    assert [(stage["first_step"], stage["last_step"]) for stage in plan] == [
        (1, 3051),
        (3052, 4882),
    ]
    for stage in plan:
        sequences = stage["target_sequences"] + stage["source_sequences"]
        assert sequences == stage["steps"] * 64
        assert stage["target_tokens"] == stage["target_sequences"] * 128


def test_a_step_that_is_not_full_is_left_out_and_each_stage_keeps_one():
    made = recipe(**TWO)  # 4e7 tokens
    two = made.stage_plan(Batch(1, 15_000_000))
    assert [stage["steps"] for stage in two] == [1, 1]
    with pytest.raises(M3Error, match=r"every stage \(there are 2\) one step of 30,000,000 tokens"):
        made.stage_plan(Batch(2, 15_000_000))
    short = recipe(target_ratio=0.25, final_ratio=0.2500001)  # hardly any first stage
    assert short.stage_plan(Batch(100, 1000))[0]["steps"] == 1


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "8", None])
def test_a_batch_is_of_whole_positive_numbers(bad):
    with pytest.raises(M3Error, match="batch: size: expected a whole positive number"):
        Batch(bad, 8)
    with pytest.raises(M3Error, match="batch: sequence_length: expected a whole"):
        Batch(8, bad)


def test_whole_numbers_are_shared_out_by_largest_remainder():
    rng = np.random.default_rng(0)
    for _ in range(500):
        shares = rng.dirichlet(np.ones(rng.integers(1, 5)) * rng.uniform(0.05, 5))
        total = int(rng.integers(len(shares), 10 ** rng.integers(1, 13)))
        counts = apportion(total, shares.tolist())
        assert sum(counts) == total
        assert min(counts) >= 1
        if min(total * shares) >= 1:
            assert np.all(np.abs(np.array(counts) - total * shares) < 1 + 1e-3)


def test_stage_plan_of_a_batch_is_refused():
    with pytest.raises(M3Error, match="one recipe, got a batch"):
        recipe(**BATCH).stage_plan()


# Checks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, bad) for name in GOOD for bad in (0.0, -1.0, np.nan, np.inf, [1.0, np.nan])),
        *(("target_ratio", bad) for bad in (0.0, -0.5, 1.001, np.nan)),
        *(("final_ratio", bad) for bad in (0.1, 1.001, np.nan)),
        *(("first_ratio", bad) for bad in (-0.1, 0.3, np.nan)),
    ],
)
def test_a_bad_value_is_named(name, value):
    with pytest.raises(M3Error, match=rf"^{name}: expected"):
        recipe(**{**TWO, name: value})


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_field_broadcasts(name):
    scalar = {**GOOD, **TWO}
    made = Recipe.create(**{**scalar, name: [scalar[name]] * 3})
    assert {leaf.shape for leaf in jax.tree.leaves(made)} == {(3,)}
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {np.dtype(np.float64)}


def test_a_recipe_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().epochs = 2.0


# A pytree


def test_tree_round_trip():
    made = recipe(**BATCH)
    leaves, structure = jax.tree.flatten(made)
    back = jax.tree.unflatten(structure, leaves)
    assert isinstance(back, Recipe)
    for field in dataclasses.fields(Recipe):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(made, field.name))


@pytest.mark.parametrize("name", PROPERTIES)
def test_jit_and_vmap_agree_with_numpy(name):
    made = recipe(**BATCH)
    expected = getattr(made, name)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(lambda r: getattr(r, name))(made), expected, rtol=1e-14)
        np.testing.assert_allclose(jax.vmap(lambda r: getattr(r, name))(made), expected, rtol=1e-14)


@pytest.mark.parametrize("name", PROPERTIES)
def test_float32_recipes_stay_in_float32(name):
    made = jax.tree.map(jnp.float32, recipe(**BATCH))
    value = getattr(made, name)
    assert value.dtype in (jnp.float32, jnp.bool_, jnp.int32)
    np.testing.assert_allclose(value, getattr(recipe(**BATCH), name), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # N, D_T, k, r, r_f, r_1
        ("compute", [2.4e8, 1.2e10, 4.8e15, -9.6e16, 0, 0]),
        ("source_tokens", [0, 15, 6e6, -1.6e8, 0, 0]),
        ("stage_fraction", [0, 0, 0, 2.5, -0.9375, -1.5625]),
    ],
)
def test_gradient_through_a_property(name, expected):
    with jax.enable_x64(True):
        slope = jax.grad(lambda r: getattr(r, name))(recipe(**TWO))
    np.testing.assert_allclose(jax.tree.leaves(slope), expected, rtol=1e-12)


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
def test_stage_fraction_has_a_finite_gradient(changes):
    with jax.enable_x64(True):
        slope = jax.grad(lambda r: r.stage_fraction)(recipe(**changes))
    assert np.all(np.isfinite(jax.tree.leaves(slope)))

"""The pilot's parts: windows, epochs, stages, the model, and many models trained as one."""

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m3jax import M3Error, Recipe
from m3jax.pilot import (
    BYTES,
    PilotDesign,
    Shape,
    Text,
    Training,
    Trial,
    evenly_spread,
    flop_per_second,
    from_recipes,
    init,
    precision_for,
    read_text,
    reading_order,
    shapes,
    space_filling,
    split_pair,
    stage_tokens,
    token_losses,
    train,
)

TINY = Shape(1, 16)
LENGTH = 16


def random_bytes(count, seed=0, low=97, high=123):
    return np.random.default_rng(seed).integers(low, high, count).astype(np.uint8)


def text(tokens, name="text.txt"):
    from pathlib import Path

    return Text(Path(name), np.asarray(tokens, dtype=np.uint8), name)


def split(target, source, **options):
    settings = {"length": LENGTH, "held_out_tokens": 20 * LENGTH, "max_overlap": 0.2}
    return split_pair(text(target, "a"), text(source, "b"), **(settings | options))


def predicted(starts, length=LENGTH):
    """The tokens that windows predict, (windows, length)."""
    return np.asarray(starts)[:, None] + 1 + np.arange(length)


# Runs in whole windows

TWO_STAGE = Trial.near(
    "x", TINY, length=LENGTH, batch=4, steps=50, target_tokens=24 * LENGTH, target_ratio=0.4,
    final_ratio=0.8, first_ratio=0.1, seed=3,
)  # fmt: skip


@pytest.mark.parametrize(("count", "places"), [(0, 7), (7, 7), (3, 8), (5, 13), (1, 100), (0, 0)])
def test_marks_are_as_many_as_asked_for_and_evenly_spread(count, places):
    marks = evenly_spread(count, places)
    assert (marks.shape, marks.sum()) == ((places,), count)
    if count:
        for width in (4, 5):
            inside = np.convolve(marks, np.ones(width), "valid") if places >= width else [0]
            assert np.ptp(inside) <= 1


def test_a_trial_counts_every_token():
    trial = TWO_STAGE
    assert trial.total_tokens == 50 * 4 * LENGTH
    assert trial.target_windows + trial.source_windows == 200
    assert trial.target_tokens == 24 * LENGTH
    assert trial.epochs * trial.target_tokens == trial.target_ratio * trial.total_tokens
    assert trial.target_ratio == pytest.approx(0.4)
    assert trial.first_ratio < trial.target_ratio < trial.final_ratio
    assert trial.compute == 6 * TINY.n_params * trial.total_tokens
    # The law's stage fraction, from the ratios, is the share of the steps.
    assert float(trial.recipe().stage_fraction) == pytest.approx((50 - trial.first_steps) / 50)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_keeps_to_the_run_asked_for(seed):
    rng = np.random.default_rng(seed)
    first, ratio, final = np.sort(rng.uniform(0.01, 1, 3))
    trial = Trial.near(
        "x", TINY, length=LENGTH, batch=4, steps=100, target_tokens=rng.integers(1, 5000),
        target_ratio=ratio, final_ratio=final, first_ratio=first, seed=0,
    )  # fmt: skip
    assert trial.target_ratio == pytest.approx(ratio, abs=1 / 400)
    assert trial.first_ratio <= trial.target_ratio <= trial.final_ratio <= 1
    if trial.first_steps:
        assert trial.final_ratio == pytest.approx(final, abs=0.02)
    trial.recipe()  # checks itself


def test_each_epoch_reads_every_window_once():
    target, source = np.arange(100) * LENGTH, 10_000 + np.arange(1000) * LENGTH
    trial = dataclasses.replace(TWO_STAGE, first_steps=0, first_target=0, final_target=90)
    order = reading_order(trial, target, source)
    assert order.shape == (50, 4)
    read = order.ravel()[order.ravel() < 10_000]
    assert len(read) == 90  # 3.75 epochs of 24 windows
    epochs = [read[i : i + 24] for i in range(0, 90, 24)]
    corpus = set(epochs[0])
    assert len(corpus) == 24
    assert corpus <= set(target)
    assert all(set(epoch) == corpus and len(epoch) == 24 for epoch in epochs[:3])
    assert len(set(epochs[3])) == 18
    assert set(epochs[3]) < corpus
    assert not np.array_equal(epochs[0], epochs[1])  # shuffled anew
    # To the token: each of the corpus is predicted as often as its epochs say.
    seen = collections.Counter(predicted(read).ravel().tolist())
    assert len(seen) == trial.target_tokens
    assert sum(seen.values()) == trial.epochs * trial.target_tokens
    assert set(seen.values()) == {3, 4}


def test_stages_have_their_ratios_to_the_window():
    target, source = np.arange(100), 10_000 + np.arange(1000)
    is_target = reading_order(TWO_STAGE, target, source) < 10_000
    before, after = is_target[: TWO_STAGE.first_steps], is_target[TWO_STAGE.first_steps :]
    assert before.sum() == TWO_STAGE.first_target
    assert after.sum() == TWO_STAGE.final_target
    assert before.mean() == TWO_STAGE.first_ratio
    assert after.mean() == TWO_STAGE.final_ratio
    for stage in (before, after):  # no batch has more than its share
        assert np.ptp(stage.sum(axis=1)) <= 1


def test_source_text_repeats_only_when_all_is_read():
    source = 10_000 + np.arange(30)
    order = reading_order(TWO_STAGE, np.arange(100), source).ravel()
    counts = collections.Counter(order[order >= 10_000].tolist())
    assert TWO_STAGE.source_windows == 120
    assert set(counts.values()) == {4}
    with pytest.raises(M3Error, match="the text has 160 to train on"):
        reading_order(TWO_STAGE, np.arange(10), source)


def test_order_depends_on_the_seed_alone():
    target, source = np.arange(100), 10_000 + np.arange(1000)
    same = reading_order(TWO_STAGE, target, source)
    assert np.array_equal(same, reading_order(TWO_STAGE, target, source))
    other = dataclasses.replace(TWO_STAGE, seed=4)
    assert not np.array_equal(same, reading_order(other, target, source))


# Texts


def test_held_out_text_is_never_trained_on():
    target, source, overlap = split(random_bytes(10_000), random_bytes(30_000, 1, 65, 90))
    for corpus in (target, source):
        train_on, held_out = predicted(corpus.train), predicted(corpus.held_out)
        assert held_out.shape == (20, LENGTH)
        everything = np.concatenate([train_on, held_out]).ravel()
        assert len(set(everything.tolist())) == len(everything)
        assert everything.max() < len(corpus.text.tokens)
        # Not even as what is only read before the first prediction.
        assert not set(corpus.train.tolist()) & set(held_out.ravel().tolist())
        assert np.count_nonzero(np.diff(corpus.held_out) > LENGTH) == 7  # 8 blocks
    assert overlap == 0


def test_passages_in_both_texts_are_found_and_kept_out():
    target, source, blocks = random_bytes(20_000), random_bytes(40_000, 1), 80 * LENGTH
    clean = split(target, source, held_out_tokens=blocks)[0]
    held_out = int(clean.held_out[1]) + 1
    source[5_000:5_100] = target[held_out : held_out + 100]  # held-out text
    shared = 300 * LENGTH + 1  # between two blocks
    source[9_000:9_400] = target[shared : shared + 400]  # training text: allowed, and told
    found, abundant, overlap = split(target, source, held_out_tokens=blocks)
    assert np.array_equal(found.held_out, clean.held_out)
    assert overlap == pytest.approx(500 / 20_000)
    assert not set(predicted(abundant.train).ravel()) & set(range(5_000, 5_100))
    assert set(predicted(abundant.train).ravel()) & set(range(9_000, 9_400))
    assert abundant.dropped in (7, 8)
    # The same passage twice in the target itself.
    target[200:300] = target[held_out : held_out + 100]
    again = split(target, random_bytes(40_000, 1), held_out_tokens=blocks)[0]
    assert not set(predicted(again.train).ravel()) & set(range(200, 300))


def test_overlap_is_refused():
    target = random_bytes(10_000)
    with pytest.raises(M3Error, match="a, b: 100% of the first is in the second"):
        split(target, target)
    both = np.concatenate([random_bytes(9_000, 2), target[:4_000]])
    with pytest.raises(M3Error, match="a, b: 40% of the first"):
        split(target, both)
    assert split(target, both, max_overlap=0.5)[2] == pytest.approx(0.4)


def test_texts_too_short_or_missing_are_refused(tmp_path):
    with pytest.raises(M3Error, match=r"a: 16 tokens, shorter than one window of 16"):
        split(random_bytes(16), random_bytes(1000))
    with pytest.raises(M3Error, match=r"b: 100 tokens make 6 windows of 16, expected at least 32"):
        split(random_bytes(1000), random_bytes(100))
    for name, content in (("empty", b""), ("blank", b" \n\t")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(M3Error, match=f"{name}: the file is empty"):
            read_text(tmp_path / name)
    with pytest.raises(M3Error, match="nowhere: no such file"):
        read_text(tmp_path / "nowhere")
    with pytest.raises(M3Error, match="cannot be read"):
        read_text(tmp_path)


def test_any_bytes_are_text(tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    assert read_text(tmp_path / "binary").tokens.tolist() == list(range(256))
    assert BYTES.vocabulary == 256


# The model


def test_all_parameters_are_counted():
    for shape in (TINY, *shapes(256)[:3], Shape(3, 32, 1000)):
        leaves = jax.tree.leaves(jax.eval_shape(lambda s=shape: init(s, jax.random.key(0))))
        assert sum(leaf.size for leaf in leaves) == shape.n_params
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    sizes = [shape.n_params for shape in shapes(256)]
    steps = np.diff(np.log(sizes))
    assert np.exp(steps.min()) > 1.15
    assert np.exp(steps.max()) < 2.1
    assert all(shape.width % (2 * shape.head_size) in (0, shape.head_size) for shape in shapes(256))


def test_the_model_sees_no_future():
    params = init(Shape(2, 32), jax.random.key(0))
    windows = jnp.asarray(random_bytes(2 * 17).reshape(2, 17), jnp.int32)
    losses_of = jax.jit(lambda windows: token_losses(Shape(2, 32), params, windows))
    losses, changed = losses_of(windows), losses_of(windows.at[:, 10].set(0))
    assert losses.shape == (2, 16)
    assert losses.dtype == jnp.float32
    np.testing.assert_array_equal(losses[:, :9], changed[:, :9])
    assert np.all(np.abs(losses[:, 9:] - changed[:, 9:]) > 0)
    assert float(jnp.mean(losses)) == pytest.approx(math.log(256), abs=1.0)


# Training

STEPS, BATCH = 6, 4


def inputs(members, steps=STEPS):
    """Texts on the device and, for each member, its order, rates, seed and held-out windows."""
    tokens = np.concatenate([random_bytes(4_000), random_bytes(4_000, 1, 65, 90)])
    rng = np.random.default_rng(7)
    orders = list(rng.integers(7_000, size=(members, steps, BATCH)))
    rates = [Training().rates(TINY, steps) * 2.0**-i for i in range(members)]
    held_out = {
        "loss": [np.arange(20 + i) * 100 for i in range(members)],
        "source_loss": [4_000 + np.arange(20) * 100] * members,
    }
    return tokens, orders, rates, list(range(members)), held_out


@pytest.fixture(scope="module")
def training():
    return Training(length=LENGTH)


@pytest.mark.slow
def test_an_ensemble_is_its_members(training):
    tokens, orders, rates, seeds, held_out = inputs(3)
    staged = stage_tokens(tokens)
    together = train(TINY, training, staged, orders, rates, seeds, held_out)
    assert {name: losses.shape for name, losses in together.items()} == {
        "loss": (3,),
        "source_loss": (3,),
    }
    assert len(np.unique(together["loss"])) == 3
    for i in range(3):
        alone = train(
            TINY, training, staged, orders[i : i + 1], rates[i : i + 1], seeds[i : i + 1],
            {name: windows[i : i + 1] for name, windows in held_out.items()},
        )  # fmt: skip
        for name in held_out:
            np.testing.assert_allclose(alone[name][0], together[name][i], rtol=1e-5)


@pytest.mark.slow
def test_training_is_adamw_step_by_step(training):
    # Written out plainly: optax's AdamW, one step after the other, one window batch at a time.
    steps = 34  # not a multiple of what one call usually trains
    tokens, orders, rates, seeds, held_out = inputs(1, steps)
    got = train(TINY, training, stage_tokens(tokens), orders, rates, seeds, held_out)

    params = init(TINY, jax.random.key(0))
    mask = {
        "embedding": True,
        "gain": False,
        "blocks": {k: "gain" not in k for k in params["blocks"]},
    }
    rule = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(
            lambda step: jnp.asarray(rates[0])[step], b1=0.9, b2=0.95, weight_decay=0.1, mask=mask
        ),
    )

    @jax.jit
    def loss(params, windows):
        return token_losses(TINY, params, windows).mean()

    def read(starts):
        return jnp.asarray(tokens[starts[:, None] + np.arange(17)], jnp.int32)

    state = rule.init(params)
    gradient, update = jax.jit(jax.grad(loss)), jax.jit(rule.update)
    for starts in orders[0]:
        updates, state = update(gradient(params, read(starts)), state, params)
        params = optax.apply_updates(params, updates)
    for name, windows in held_out.items():
        np.testing.assert_allclose(got[name][0], loss(params, read(windows[0])), rtol=2e-5)


@pytest.mark.slow
def test_half_precision_trains_too(training):
    tokens, orders, rates, seeds, held_out = inputs(3)
    arguments = (TINY, training, stage_tokens(tokens), orders, rates, seeds, held_out)
    full = train(*arguments)["loss"]
    half = train(*arguments, precision="bfloat16")["loss"]
    np.testing.assert_allclose(half, full, rtol=0.02)
    assert np.any(half != full)


def test_the_rate_is_high_until_it_falls():
    training = Training()
    rates = training.rates(Shape(2, 32), 1000)
    assert rates.dtype == np.float32
    assert rates.max() == np.float32(training.peak_rate(Shape(2, 32)))
    assert np.all(rates[30:800] == rates.max())
    assert 0 < rates[0] < rates[10] < rates.max()
    assert np.all(np.diff(rates[800:]) < 0)
    assert 0 < rates[-1] < 0.01 * rates.max()
    assert training.peak_rate(Shape(2, 128)) < training.peak_rate(Shape(2, 64)) == training.rate


def test_batches_grow_with_the_run():
    training = Training(batch=8)
    assert [training.batch_for(2.0**e) for e in (16, 18, 20, 22, 24, 30)] == [4, 4, 8, 16, 32, 256]


def test_throughput_and_precisions(training):
    assert 0 < flop_per_second(TINY, training, "float32", ensemble=1, steps=2) < math.inf
    assert precision_for("bfloat16") == "bfloat16"
    with pytest.raises(M3Error, match="precision: expected auto, float32 or bfloat16"):
        precision_for("float16")


# Plans


def plan(budget=1e13, runs=60, **options):
    settings = {"target_windows": 5_000, "source_windows": 20_000, "seed": 0}
    return space_filling(
        "x",
        shapes(256),
        Training(),
        PilotDesign(),
        budget=budget,
        runs=runs,
        **(settings | options),
    )


def test_a_plan_fills_the_space_within_its_budget():
    trials = plan()
    design = PilotDesign()
    spent = sum(trial.compute for trial in trials)
    assert len(trials) == 60
    assert 0.75 * 1e13 < spent <= 1e13
    two = [trial for trial in trials if trial.first_steps]
    alone = [trial for trial in trials if trial.target_ratio == 1]
    assert 18 <= len(two) <= 30
    assert 5 <= len(alone) <= 13
    for trial in trials:
        assert trial.unique <= 5_000
        assert trial.source_windows <= 4 * 20_000
        assert 0.95 < trial.epochs < 66
        assert trial.target_tokens >= 8_000
        trial.recipe()
    for trial in two:
        fraction = 1 - trial.first_steps / trial.steps
        assert design.stage_fraction[0] - 0.01 <= fraction <= design.stage_fraction[1] + 0.01
    shares = {round(trial.first_ratio / trial.target_ratio, 1) for trial in two}
    assert shares == {0.0, 0.3, 0.6}
    assert len({trial.shape for trial in trials}) >= 3
    # Recipes done twice, for the noise, differ in the seed alone.
    recipes = collections.Counter(dataclasses.replace(trial, seed=0) for trial in trials)
    assert sum(count == 2 for count in recipes.values()) == 7
    assert len(set(trials)) == 60


def test_a_plan_can_be_added_to():
    small, large = plan(1e13, 60), plan(2e13, 120)
    assert large[: len(small)] == small
    assert plan(seed=1) != plan()


def test_a_short_text_limits_the_plan():
    trials = plan(target_windows=200, source_windows=3_000)
    assert all(trial.unique <= 200 and trial.source_windows <= 12_000 for trial in trials)
    with pytest.raises(M3Error, match="x: the texts are too short for runs of"):
        plan(target_windows=40, source_windows=1)


@pytest.mark.parametrize(("budget", "runs"), [(0, 10), (math.inf, 10), (1e13, 0), (math.nan, 5)])
def test_impossible_budgets_are_refused(budget, runs):
    with pytest.raises(M3Error, match="positive budget and number of runs"):
        plan(budget, runs)


def test_a_small_budget_is_refused_with_what_it_takes():
    with pytest.raises(M3Error, match="too small for 100 runs: expected at least") as caught:
        plan(1e11, 100)
    enough = float(str(caught.value).split("at least ")[1].split(",")[0])
    assert plan(1.01 * enough, 100)


def test_recipes_become_runs_of_the_same_compute():
    recipes = Recipe.create(
        n_params=np.array([1e5, 4e4]), target_tokens=32_768.0, epochs=np.array([4.0, 8.0]),
        target_ratio=np.array([0.25, 1.0]), final_ratio=np.array([0.5, 1.0]),
    )  # fmt: skip
    trials = from_recipes("x", shapes(256), Training(), recipes, seeds=3)
    assert [trial.seed for trial in trials] == [0, 1, 2, 0, 1, 2]
    for trial, i in ((trials[0], 0), (trials[3], 1)):
        assert trial.compute == pytest.approx(float(recipes.compute[i]), rel=0.05)
        assert trial.target_tokens == 32_768
        assert trial.target_ratio == pytest.approx(float(recipes.target_ratio[i]), abs=0.01)
        assert trial.final_ratio == pytest.approx(float(recipes.final_ratio[i]), abs=0.01)
    assert trials[0].first_target == 0

"""Texts: what is held out, what both share, what is refused."""

import numpy as np
import pytest

from m3jax import M3Error
from m3jax.pilot import BYTES, Text, read_text, split_pair

from .texts import LENGTH, predicted, random_bytes


def text(tokens, name="text.txt"):
    from pathlib import Path

    return Text(Path(name), np.asarray(tokens, dtype=np.uint8), name)


def split(target, source, **options):
    settings = {"length": LENGTH, "held_out_tokens": 20 * LENGTH, "max_overlap": 0.2}
    return split_pair(text(target, "a"), text(source, "b"), **(settings | options))


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

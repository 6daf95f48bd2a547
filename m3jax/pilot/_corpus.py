"""Text files as tokens: read, hold a part out, and look for text that is in two places."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error

Array = npt.NDArray[Any]

_BLOCKS = 8  # contiguous stretches of held-out text, spread over the file
_MOST_HELD_OUT = 1 / 8  # of the windows of a small corpus
_FEWEST_WINDOWS = 32  # of a corpus, so that a part can be held out
_PIECE = 1 << 24  # tokens looked at together


@dataclasses.dataclass(frozen=True, eq=False)
class Encoding:
    """What a token is: a byte, or what a tokenizer file says.

    Attributes:
        vocabulary: different tokens.
        encode: file content to tokens (n,).
        span: tokens in a passage long enough to be no chance when found twice, a power of two.
        name: "bytes", or the file's name and digest.
    """

    vocabulary: int
    encode: Callable[[bytes], Array]
    span: int
    name: str


BYTES = Encoding(256, lambda content: np.frombuffer(content, dtype=np.uint8), 64, "bytes")


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
    """A file as tokens (n,), and the digest of its content."""

    path: Path
    tokens: Array
    digest: str


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text cut into windows: `length` tokens to predict, after one that is only read.

    Attributes:
        text: the file.
        train: starts of the windows to train on; none shares a predicted token with another.
        held_out: starts of the windows never trained on, (h,).
        length: tokens predicted in each window.
        dropped: windows left out of training, for a passage that held-out text has as well.
    """

    text: Text
    train: Array
    held_out: Array
    length: int
    dropped: int

    def summary(self) -> dict[str, Any]:
        """Sizes, in tokens, for a data card."""
        return {
            "file": self.text.path.name,
            "digest": self.text.digest,
            "tokens": len(self.text.tokens),
            "training_tokens": len(self.train) * self.length,
            "held_out_tokens": len(self.held_out) * self.length,
            "dropped_tokens": self.dropped * self.length,
        }


def read_tokenizer(path: str | os.PathLike[str]) -> Encoding:
    """A Hugging Face `tokenizers` file. Raises `M3Error` if it or the package is missing."""
    path = Path(path)
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise M3Error(
            f"{path}: tokenizer files need the package tokenizers: pip install 'm3jax[pilot]'"
        ) from error
    content = _content(path)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # what the package raises is a bare Exception
        raise M3Error(f"{path}: not a tokenizer file: {error}") from error
    vocabulary = tokenizer.get_vocab_size()
    kind = np.uint16 if vocabulary <= 1 << 16 else np.int32

    def encode(content: bytes) -> Array:
        # Line by line: in parallel, and without a second copy of a large text.
        lines = content.decode().splitlines(keepends=True)
        encodings = tokenizer.encode_batch(lines, add_special_tokens=False)
        return np.array([token for line in encodings for token in line.ids], dtype=kind)

    return Encoding(vocabulary, encode, 16, f"{path.name} {_digest(content)}")


def read_text(path: str | os.PathLike[str], encoding: Encoding = BYTES) -> Text:
    """Read and encode a file. Raises `M3Error` if it is missing, empty, or cannot be encoded."""
    path = Path(path)
    content = _content(path)
    try:
        return Text(path, encoding.encode(content), _digest(content))
    except UnicodeDecodeError as error:
        raise M3Error(
            f"{path}: a tokenizer needs UTF-8 text, found other bytes at byte {error.start}; bytes"
            " as tokens (no --tokenizer) take any file"
        ) from error


def split_pair(
    target: Text,
    source: Text,
    *,
    length: int,
    held_out_tokens: int,
    max_overlap: float,
    span: int = BYTES.span,
) -> tuple[Corpus, Corpus, float]:
    """The scarce and the abundant corpus, and the share of the first that is in the second as well.

    Held-out text is `held_out_tokens` of each (an eighth, if that is less) in 8 contiguous blocks
    with a window on each side used for nothing. Windows that share a passage of `span` tokens or
    more with held-out target text are dropped from training on either text.
    Raises `M3Error` on a text too short to hold a part out, and an overlap above `max_overlap`.
    """
    texts = target, source
    parts = [_split(text.path, len(text.tokens), length, held_out_tokens) for text in texts]
    held_out = np.zeros(len(target.tokens), dtype=bool)
    held_out[(parts[0][1][:, None] + 1 + np.arange(length)).ravel()] = True

    passages, number = np.unique(_passages(target.tokens, span), return_inverse=True)
    held = np.zeros(len(passages), dtype=bool)
    held[number[_all_within(held_out, span)]] = True
    in_source = np.zeros(len(passages), dtype=bool)
    leak = np.zeros(len(source.tokens), dtype=bool)
    for first in range(0, len(source.tokens), _PIECE):
        piece = _passages(source.tokens[first : first + _PIECE + span - 1], span)
        where, there = _find(piece, passages)
        in_source[where[there]] = True
        leak[first : first + len(piece)] = there & held[where]

    count = len(target.tokens)
    overlap = float(np.mean(_covered(in_source[number], span, count)))
    if overlap > max_overlap:
        raise M3Error(
            f"{target.path}, {source.path}: {overlap:.0%} of the first is in the second as well"
            f" (passages of {span} tokens or more), expected at most {max_overlap:.0%}: the target"
            " ratio of such runs would mean nothing; remove what they share"
        )
    leaks = [_covered(held[number], span, count), _covered(leak, span, len(source.tokens))]
    corpora = []
    for text, (train, out), mask in zip(texts, parts, leaks, strict=True):
        clean = ~_any_within(mask, train, length)
        if not clean.any():
            raise M3Error(f"{text.path}: every window shares a passage with held-out target text")
        dropped = int(np.sum(~clean))
        corpora.append(Corpus(text, train[clean], out, length, dropped))
    return corpora[0], corpora[1], overlap


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise M3Error(f"{path}: no such file") from error
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error
    if not content or content.isspace():
        raise M3Error(f"{path}: the file is empty, expected text")
    return content


def _split(path: Path, count: int, length: int, held_out_tokens: int) -> tuple[Array, Array]:
    """Starts of the windows to train on and of those held out."""
    windows = (count - 1) // length
    if windows < 1:
        raise M3Error(
            f"{path}: {count} tokens, shorter than one window of {length} tokens and the one before"
        )
    if windows < _FEWEST_WINDOWS:
        raise M3Error(
            f"{path}: {count} tokens make {windows} windows of {length}, expected at least"
            f" {_FEWEST_WINDOWS}, so that some can be held out"
        )
    wanted = min(max(held_out_tokens // length, 1), int(windows * _MOST_HELD_OUT))
    role = np.zeros(windows, dtype=np.int8)  # 0 train, 1 beside held-out text, 2 held out
    blocks = min(_BLOCKS, wanted)
    for number in range(blocks):
        size = wanted * (number + 1) // blocks - wanted * number // blocks
        middle = windows * (2 * number + 1) // (2 * blocks)
        first = middle - size // 2
        role[max(first - 1, 0) : first + size + 1] = 1
        role[first : first + size] = 2
    starts = np.arange(windows, dtype=np.int64) * length
    return starts[role == 0], starts[role == 2]


def _passages(tokens: Array, span: int) -> Array:
    """A 64-bit hash of the `span` tokens from each position on, (n - span + 1,)."""
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        hashes = (tokens.astype(np.uint64) + np.uint64(1)) * multiplier
        width, power = 1, multiplier
        while width < span:  # from the hashes of w tokens to those of 2w
            hashes = hashes[:-width] * power + hashes[width:]
            hashes ^= hashes >> np.uint64(29)
            power = power * multiplier
            width *= 2
    return hashes


def _find(values: Array, known: Array) -> tuple[Array, Array]:
    """Where in the sorted `known` each value would be, and whether it is there."""
    where = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return where, known[where] == values


def _covered(starts: Array, span: int, count: int) -> Array:
    """Tokens (count,) inside a passage that starts where `starts` says."""
    full = np.zeros(count, dtype=np.int64)
    full[: len(starts)] = starts
    before = np.concatenate([[0], np.cumsum(full)])
    end = np.arange(1, count + 1)
    return before[end] > before[np.maximum(end - span, 0)]


def _all_within(mask: Array, span: int) -> Array:
    """Positions from which `span` tokens in a row are marked, (n - span + 1,)."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return before[span:] - before[:-span] == span


def _any_within(mask: Array, starts: Array, length: int) -> Array:
    """Which windows have a marked token among those they predict."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return before[starts + length + 1] > before[starts + 1]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()

"""Decoders of usual shapes, and how many parameters they have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .._errors import M3Error, setting

_HEAD = 64  # width of a head
_WIDEST = 8192
_ASPECT = 1.4  # layers are (width / 64) · 1.4, less for wide models, as in published families
_FEWEST, _MOST = 2, 80  # layers


class DecoderShape(NamedTuple):
    """A decoder with tied embeddings and an MLP of four times the width.

    Attributes:
        layers, width, heads: of the model.
        n_params: 12·layers·width² + vocabulary·width.
        without_embeddings: 12·layers·width².
    """

    layers: int
    width: int
    heads: int
    n_params: int
    without_embeddings: int

    @classmethod
    def of(cls, layers: int, width: int, vocabulary: int) -> DecoderShape:
        """With as many heads as divide the width, each some 64 wide or wider."""
        heads = next(h for h in range(max(1, round(width / _HEAD)), 0, -1) if width % h == 0)
        blocks = 12 * layers * width**2
        return cls(layers, width, heads, blocks + vocabulary * width, blocks)

    @property
    def name(self) -> str:
        """As it is typed: 12x768."""
        return f"{self.layers}x{self.width}"


def usual_shapes(vocabulary: int) -> tuple[DecoderShape, ...]:
    """Decoders of every usual width, from the smallest."""
    widths = [*range(32, 256, 32), *range(256, 1024, 64), *range(1024, 2560, 128)]
    widths += range(2560, _WIDEST + 1, 512)
    shapes = []
    for width in widths:
        layers = round(min(max(_ASPECT * width / _HEAD, _FEWEST), 16 + width / 128))
        shapes.append(DecoderShape.of(min(layers, _MOST), width, vocabulary))
    return tuple(shapes)


def shapes_of(names: Sequence[str], vocabulary: int) -> tuple[DecoderShape, ...]:
    """Shapes as they were typed, LAYERSxWIDTH. Raises `M3Error` on what is none."""
    shapes = []
    for name in names:
        match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", name.strip())
        if match is None or not all(int(part) for part in match.groups()):
            raise M3Error(f"{setting('shapes', name)}: expected LAYERSxWIDTH, as in 12x768")
        shapes.append(DecoderShape.of(int(match[1]), int(match[2]), vocabulary))
    return tuple(sorted(set(shapes), key=lambda shape: shape.n_params))

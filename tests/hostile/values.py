"""Values and texts that nobody should have sent, drawn with a seed."""

import datetime
import math
import random
from typing import Any


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = (
    0, 1, -1, 2, 7, 0.5, -0.5, 1.5, 2**31, 2**63, 2**64, -(2**63), 10**22, 10**400, -(10**400),
    1e-320, 1e-30, 1e30, 1e200, 1e300, 1.7e308, -1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip
TEXTS = (
    "", " ", "a", "=1+1", "-1", "1e999", "nan", "\x1b[2J", "\0", "\u202e", "é", "\U0001f600",
    "../../etc/passwd", "x" * 3000, "a\nb", "'", '"', "{}", "m3", "weak", "partial", "host",
)  # fmt: skip
OTHERS = (
    None, True, False, [], {}, [[]], {"": 0}, {"a": [1]}, nested(200), [1, 2], [2, 1], ["a", 1],
    [None], [math.nan, 1.0], datetime.date(2020, 1, 1),
)  # fmt: skip
TOML = (
    "1" * 400, "9" * 5000, "0x" + "f" * 5000, "nan", "-inf", "1979-05-27", "[]", "[" * 3000, "{}",
    "[[1]]", '""', r'"\u0000"', r'"\u001b[2J"', "true", "-1", "1e308", '{ a = "b" }', '["a", 1]',
    f'"{"x" * 5000}"',
)  # fmt: skip
HALF = "\ud800"  # of a surrogate pair: JSON can say it, files cannot hold it


def value(draw: random.Random) -> Any:
    """Anything."""
    return draw.choice(draw.choice((NUMBERS, TEXTS, OTHERS)))


def damaged(draw: random.Random, data: bytes) -> bytes:
    """Bytes with a few flipped, cut out, repeated, put in or cut off."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5, 20))):
        place, length = draw.randrange(len(out) + 1), draw.choice((1, 1, 2, 8, 64))
        kind = draw.randrange(5)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[place : place + length]
        elif kind == 2:
            out[place:place] = out[max(place - length, 0) : place]
        elif kind == 3:
            out[place:place] = draw.randbytes(length)
        else:
            del out[place:]
    return bytes(out)


def places(content: Any, way: tuple = ()) -> list[tuple]:
    """The way to every part of nested objects and lists."""
    found = [way] if way else []
    if isinstance(content, dict):
        for key, inner in content.items():
            found += places(inner, (*way, key))
    elif isinstance(content, list):
        for i, inner in enumerate(content[:5]):
            found += places(inner, (*way, i))
    return found


def change(draw: random.Random, content: Any, odd: Any) -> None:
    """Remove, rename or repeat one part of nested objects, or put in the odd, in place."""
    *way, last = draw.choice(places(content))
    inner = content
    for key in way:
        inner = inner[key]
    kind = draw.randrange(6)
    if kind == 0:
        del inner[last]
    elif kind == 1 and isinstance(inner, dict):
        inner[draw.choice(TEXTS)] = inner.pop(last)
    elif kind == 2 and isinstance(inner, list):
        inner.append(inner[last])
    else:
        inner[last] = odd

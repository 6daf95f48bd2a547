"""The log in which the client of Weights & Biases keeps a run: records, as LevelDB's log has them.

Newer clients have no reader of it in Python, and older ones opened it for writing.
"""

from __future__ import annotations

import struct
import zlib

from ..._errors import M3Error

_START = b":W&B\xe1\xbe\x00"  # what it is, and the version of its format
_BLOCK = 32768  # bytes; no chunk goes over the end of one
_HEAD = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def read_log(content: bytes, name: str) -> tuple[list[bytes], int]:
    """The records before the first that is cut short or damaged, and the byte at which they end.

    Raises `M3Error` on a file that is no such log.
    """
    if content[: len(_START)] != _START[: len(content)]:
        raise M3Error(
            f"{name}: expected a log of Weights & Biases, which begins with {_START!r}, found"
            f" {content[: len(_START)]!r}"
        )
    records: list[bytes] = []
    parts: list[bytes] = []
    place = end = min(len(_START), len(content))
    while (chunk := _chunk(content, place)) is not None:
        kind, data, place = chunk
        if (kind in (_WHOLE, _FIRST)) == bool(parts):
            break
        parts.append(data)
        if kind in (_WHOLE, _LAST):
            records.append(b"".join(parts))
            parts, end = [], place
    return records, end


def _chunk(content: bytes, place: int) -> tuple[int, bytes, int] | None:
    """Kind, data and end of the chunk at a place; None where no sound one is."""
    room = _BLOCK - place % _BLOCK
    begin = (place if room >= _HEAD.size else place + room) + _HEAD.size
    if begin > len(content):
        return None
    checksum, length, kind = _HEAD.unpack_from(content, begin - _HEAD.size)
    data = content[begin : begin + length]
    sound = len(data) == length and kind in (_WHOLE, _FIRST, _MIDDLE, _LAST)
    if not sound or zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
        return None
    return kind, data, begin + length

"""The two files of a fit: JSON to read, and beside it its arrays, found by their digest.

The JSON says which arrays are its own. New arrays are first written under a name that holds their
digest, then the JSON is renamed onto its place, and from that moment the new pair is what is read;
last the arrays get their plain name, where the old ones stood. Whenever that stops, the JSON finds
its own arrays under one of the two names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import M3Error
from ...files import (
    check_place,
    encoded,
    json_text,
    parse_json,
    read_json,
    write_at_once,
    write_files,
)
from ._arrays import array_bytes, arrays_of

_CHECKSUM = "checksum"
_DIGITS = 16  # of the digest, in the name of arrays that do not have their plain name yet
_PLAIN_NAME = re.compile(r"[^/\\\0]{1,255}\.npz")


def check_places(path: Path) -> None:
    """Raise `M3Error` unless a pair can be written at `path`, as far as can be told beforehand."""
    if path.suffix != ".json":
        raise M3Error(f"{path}: expected a file name ending in .json")
    for place in (path, path.with_suffix(".npz"), _by_digest(path.with_suffix(".npz"), "0" * 64)):
        check_place(place)


def as_written(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Content as it comes back from a file. Raises `M3Error`, about `path`, if it cannot be one."""
    try:
        text = encoded(json_text(content)).decode()
    except (ValueError, TypeError) as error:
        raise M3Error(f"{path}: cannot be written: {error}") from error
    return parse_json(text, str(path))


def write_pair(
    path: Path,
    content: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    beside: Mapping[Path, bytes],
) -> Path:
    """Write content, see `as_written`, arrays and the files `beside` them: all or none.

    With files beside them the folder is the call's own: all appear in one step where that can be
    had. Raises `M3Error` where they cannot be written.
    """
    check_places(path)
    plain = path.with_suffix(".npz")
    data = array_bytes(path, arrays)
    digest = hashlib.sha256(data).hexdigest()
    by_digest = _by_digest(plain, digest)
    whole = signed({**content, "arrays": {"file": plain.name, "sha256": digest}})

    def settle() -> None:
        # Only tidying: the pair is whole already, and where this fails it stays so.
        with suppress(OSError):
            os.replace(by_digest, plain)
        for old in plain.parent.iterdir():
            if _is_by_digest(old.name, plain) and old != by_digest:
                with suppress(OSError):
                    old.unlink()

    text = encoded(json_text(whole))
    if not beside or not write_at_once({**beside, plain: data, path: text}, then=settle):
        write_files({**beside, by_digest: data, path: text}, then=settle)
    return path


def file_identity(path: Path) -> tuple[int, ...]:
    """What tells the JSON of one save from that of any other; () where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def read_content(path: Path, version: int) -> dict[str, Any]:
    """The JSON of a pair. Raises `M3Error` on any other file, and one that is not as written."""
    content = read_json(path)
    if not isinstance(content, dict) or "schema_version" not in content:
        raise M3Error(f"{path}: not a fit file of m3jax (no schema_version)")
    found = content["schema_version"]
    if type(found) is not int or found != version:
        raise M3Error(
            f"{path}: schema version {str(found)[:40]}, this m3jax reads version {version};"
            " fit again with this version"
        )
    if content.get(_CHECKSUM) != signed(content)[_CHECKSUM]:
        raise M3Error(
            f"{path}: not as m3jax wrote it (its checksum differs): edited, or damaged on the way;"
            " fit again"
        )
    return content


def read_arrays(
    path: Path, content: Mapping[str, Any], shapes: Mapping[str, tuple[int | None, ...]]
) -> dict[str, np.ndarray]:
    """The arrays of a pair, of these shapes, None being any length.

    Raises `M3Error` where they are missing, belong to another file or are not what is expected.
    """
    stated = content.get("arrays")
    stated = stated if isinstance(stated, dict) else {}
    name, digest = stated.get("file"), stated.get("sha256")
    if not (isinstance(name, str) and _PLAIN_NAME.fullmatch(name)):
        raise M3Error(f"{path}: arrays, file: expected the name of a .npz file in the same folder")
    if not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
        raise M3Error(f"{path}: arrays, sha256: expected 64 hexadecimal digits")
    plain = path.parent / name
    # In this order: if another process gives them their plain name now, they are found there.
    for place in (_by_digest(plain, digest), plain):
        try:
            data = place.read_bytes()
        except OSError as error:
            if place is plain:
                reason = error.strerror or error
                raise M3Error(
                    f"{plain}: cannot be read, the fit file needs its arrays: {reason}"
                ) from error
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return arrays_of(place, data, shapes)
    raise M3Error(f"{plain}: does not belong to the fit file {path.name}, or was cut short")


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content with the digest of all that it says, however its JSON is spaced and escaped.

    The order counts: that of the languages is that of the rows of the arrays.
    """
    said = {key: value for key, value in content.items() if key != _CHECKSUM}
    try:
        text = json.dumps(said, separators=(",", ":"))
    except RecursionError as error:
        raise M3Error("a fit file: lists or objects too deep in each other") from error
    return {**said, _CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def _by_digest(plain: Path, digest: str) -> Path:
    return plain.with_name(f"{plain.stem}.{digest[:_DIGITS]}.npz")


def _is_by_digest(name: str, plain: Path) -> bool:
    return re.fullmatch(rf"{re.escape(plain.stem)}\.[0-9a-f]{{{_DIGITS}}}\.npz", name) is not None

"""The arrays of a fit as a .npz file, and back without trusting it."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import M3Error
from ...laws import Law

_MOST_BYTES = 1 << 32  # of all arrays together; a small file can unpack to anything
_MOST_LOG = 460.0  # of a coefficient: 1e200
_MOST_TIMES_BOUND = 10.0  # the others, against their bounds
_MOST_WEIGHT = 1e100


def array_bytes(path: Path, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file's bytes. Raises `M3Error`, about `path`, on what `arrays_of` would refuse."""
    for name, array in arrays.items():
        if array.dtype != np.float64 or not np.all(np.isfinite(array)):
            raise M3Error(f"{path}: cannot be written: {name}: expected finite float64 numbers")
    if sum(array.nbytes for array in arrays.values()) > _MOST_BYTES:
        raise M3Error(f"{path}: cannot be written: more than 4 GiB of numbers; take fewer draws")
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(buffer, **named)  # to compress 300 languages × 1,000 draws took 2 s and saved a third
    return buffer.getvalue()


def arrays_of(
    path: Path, data: bytes, shapes: Mapping[str, tuple[int | None, ...]]
) -> dict[str, np.ndarray]:
    """Exactly these arrays of finite float64 numbers, by name; None in a shape is any length.

    Raises `M3Error`, about `path`, on anything else.
    """
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as file:
            warnings.simplefilter("error")  # what NumPy would only wonder at, m3jax never writes
            _check_members(path, file, shapes)
            return {name: _array(path, file, name, shape) for name, shape in shapes.items()}
    except M3Error:
        raise
    except Exception as error:  # of a crafted file, zipfile and NumPy raise nearly anything
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise M3Error(f"{path}: not the arrays of a fit: {words}") from error


def check_size(path: Path, law: Law, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise `M3Error` on coefficients, or what is expected of them, of no size that a fit gives."""
    logs = np.array([c.log for c in law.coefficients], dtype=bool)
    bounds = np.maximum(*np.abs(np.array([c.bounds for c in law.coefficients])).T)
    # Amplitudes in the geometric middle of the runs have bounds; quoted at one token they have not.
    most = np.where(logs, _MOST_LOG, _MOST_TIMES_BOUND * np.maximum(bounds, 1.0))
    for name in ("theta", "draws", "prior_mean"):
        if not np.all(np.abs(arrays[name]) <= most):
            raise M3Error(f"{path}, array {name}: coefficients of a size that no fit gives")
    for name in ("bends", "edges"):
        if not np.all(np.abs(arrays[name]) <= _MOST_LOG):
            raise M3Error(f"{path}, array {name}: numbers of a size that no fit gives")
    for name in ("prior_precision", "prior_weight"):
        if not np.all(np.abs(arrays[name]) <= _MOST_WEIGHT):
            raise M3Error(f"{path}, array {name}: numbers of a size that no fit gives")


def _check_members(path: Path, file: zipfile.ZipFile, expected: Mapping[str, object]) -> None:
    members = file.infolist()
    if sorted(member.filename for member in members) != sorted(f"{name}.npy" for name in expected):
        raise M3Error(f"{path}: expected the arrays {', '.join(expected)}, each once")
    for member in members:
        plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if member.flag_bits & 1 or not plain:
            raise M3Error(
                f"{path}, {member.filename}: encrypted or compressed in a way that m3jax does not"
            )
    if sum(member.file_size for member in members) > _MOST_BYTES:
        raise M3Error(f"{path}: more than 4 GiB of numbers")


def _array(
    path: Path, file: zipfile.ZipFile, name: str, shape: tuple[int | None, ...]
) -> np.ndarray:
    """One array, read only once its header promises what is expected."""
    member = file.getinfo(f"{name}.npy")
    where = f"{path}, array {name}"
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise M3Error(f"{where}: NumPy's file format {version}, expected (1, 0)")
        found, by_columns, dtype = read_header(stream)
        if dtype != np.float64:
            raise M3Error(f"{where}: numbers of type {dtype}, expected float64")
        alike = len(found) == len(shape) and all(
            b in (None, a) for a, b in zip(found, shape, strict=True)
        )
        if not alike:
            words = " x ".join("any" if length is None else str(length) for length in shape)
            raise M3Error(f"{where}: of shape {found}, expected {words}")
        count = int(np.prod(found, dtype=object)) if found else 1
        if count * 8 > _MOST_BYTES:
            raise M3Error(f"{where}: more than 4 GiB of numbers")
        numbers = stream.read(count * 8)
        if len(numbers) != count * 8 or stream.read(1):
            raise M3Error(f"{where}: not as many numbers as its shape {found} says")
    array = np.frombuffer(numbers, dtype=np.float64).reshape(
        found, order="F" if by_columns else "C"
    )
    if not np.all(np.isfinite(array)):
        raise M3Error(f"{where}: expected finite numbers only")
    return np.array(array, order="C")

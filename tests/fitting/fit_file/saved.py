"""A saved fit, made without fitting, to be damaged; and a pair of files written by hand."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np

from benchmarks.support.recipes import fits_of as known_fits
from m3jax import Fits
from m3jax.fitting.fit_file import signed

NAMES = ("theta", "draws", "bends", "edges", "prior_mean", "prior_precision", "prior_weight")


def made_up(draws: int = 3, seed: int = 1) -> Fits:
    """Two languages under m3, their draws around them, and a third that could not be fitted."""
    fits = known_fits(2, seed, "m3")
    jitter = np.random.default_rng(seed).normal(0, 0.01, (2, draws, fits.theta.shape[1]))
    return dataclasses.replace(
        fits,
        draws=fits.theta[:, None] + jitter,
        bends=np.random.default_rng(seed).normal(0, 0.01, (2, draws, 5)),
        failed={"rare": (1, "1 run is too few")},
    )


def arrays_of(fits: Fits) -> dict[str, np.ndarray]:
    return {name: getattr(fits, name) for name in NAMES}


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write_by_hand(path: Path, content: dict, data: bytes, *, sign: bool = True) -> Path:
    """A pair whose digests are right, whatever it holds."""
    digest = hashlib.sha256(data).hexdigest()
    content = {**content, "arrays": {"file": path.with_suffix(".npz").name, "sha256": digest}}
    path.write_text(json.dumps(signed(content) if sign else content), encoding="utf-8")
    path.with_suffix(".npz").write_bytes(data)
    return path


def same(a: Fits, b: Fits) -> bool:
    return a.to_dict() == b.to_dict() and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in NAMES
    )

"""A folder of finished parts of one fit: what it is for, and what is in it already.

The folder holds `checkpoint.json`, which says what is fitted and how, and for each finished chunk
of languages a fit file whose name carries the digest of the chunk's runs and settings. Every file
is written whole or not at all, so that any number of processes may share the folder and any of them
may end at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._errors import M3Error
from ..._version import __version__
from ...files import write_json
from ...runs import RunTable
from .._fit import FitPlan
from .._fits import Fits

MANIFEST = "checkpoint.json"
_SCHEMA = 1
_BEAT_S = 10.0  # between signs of life
_INCIDENTAL = ("source", "notes")  # settings that change no number


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The folder of one fit, opened.

    Attributes:
        folder: where it is.
        plan: the fit.
        chunks: rows of `plan.problem` in each chunk.
        paths: the fit file of each chunk.
    """

    folder: Path
    plan: FitPlan
    chunks: tuple[np.ndarray, ...]
    paths: tuple[Path, ...]

    @classmethod
    def open(
        cls, folder: Path, plan: FitPlan, runs: RunTable, chunk: int | None, default: int
    ) -> Checkpoint:
        """Open a folder made for this fit of these runs, or make one.

        `chunk` is the number of languages in each chunk; None takes the folder's or, in a new one,
        `default`. Raises `M3Error` if the folder is for another fit, and says what differs.
        """
        manifest, wanted = folder / MANIFEST, _identity(plan, runs)
        if not manifest.exists():
            # Processes that start together come here together, and all write the same.
            content = {"checkpoint_version": _SCHEMA, "chunk": chunk or default, **wanted}
            write_json(manifest, content)
        there = _read(manifest)
        different = _difference(there, wanted)
        if not different and chunk is not None and chunk != there["chunk"]:
            different = f"chunks of {there['chunk']} languages, not {chunk}"
        if different:
            raise M3Error(
                f"{folder}: is the checkpoint of another fit, with {different}; to start afresh"
                " name another folder or remove this one"
            )
        size, count = int(there["chunk"]), len(plan.problem.languages)
        chunks = tuple(np.arange(i, min(i + size, count)) for i in range(0, count, size))
        shared = {key: wanted[key] for key in ("m3jax_version", "law", "definition", "settings")}
        paths = []
        for number, rows in enumerate(chunks):
            names = [plan.problem.languages[i] for i in rows]
            digest = _digest(json.dumps([shared, [[n, wanted["runs"][n]] for n in names]]))
            paths.append(folder / f"chunk-{number:05d}-{digest}.json")
        return cls(folder, plan, chunks, tuple(paths))

    def missing(self) -> list[int]:
        """The chunks that are not finished."""
        there = set(os.listdir(self.folder))
        return [number for number, path in enumerate(self.paths) if path.name not in there]

    def discard_damaged(self, numbers: Iterable[int]) -> None:
        """Of these chunks, remove files that are there but cannot be read."""
        missing = {*self.missing()}
        for number in numbers:
            if number not in missing:
                try:
                    self.load(number)
                except M3Error:
                    self.paths[number].unlink(missing_ok=True)

    def load(self, number: int) -> Fits:
        """The fits of a finished chunk. Raises `M3Error` if its file is missing or damaged."""
        path = self.paths[number]
        fits = Fits.load(path, law=self.plan.law)
        names = {self.plan.problem.languages[i] for i in self.chunks[number]}
        if names != {*fits.languages, *fits.failed}:
            raise M3Error(f"{path}: does not hold the languages of its chunk")
        return fits

    def save(self, number: int, fits: Fits) -> None:
        """Write the fits of a chunk, whole or not at all."""
        fits.save(self.paths[number])

    def sign(self, process: int) -> int:
        """Something that changes for as long as that process is at work."""
        with suppress(OSError):
            return self._beat_of(process).stat().st_mtime_ns
        return 0

    @contextmanager
    def alive(self, process: int, patience: float) -> Iterator[None]:
        """Give signs of life meanwhile, for others to see who wait so many seconds for one."""
        beat, over = self._beat_of(process), threading.Event()

        def run() -> None:
            while True:
                with suppress(OSError):  # a full disk is told by who writes the results
                    beat.touch()
                if over.wait(min(_BEAT_S, patience / 5)):
                    return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(OSError):
                beat.unlink()

    def _beat_of(self, process: int) -> Path:
        return self.folder / f".process-{process:05d}"


def _identity(plan: FitPlan, runs: RunTable) -> dict[str, Any]:
    """What must be the same for two calls to share finished chunks, as JSON."""
    settings = {k: v for k, v in plan.settings.items() if k not in _INCIDENTAL}
    law = plan.law
    return {
        "m3jax_version": __version__,
        "law": law.name,
        "definition": _digest(repr((law.coefficients, law.variables))),
        "padded_runs": int(plan.problem.mask.shape[1]),
        "settings": json.loads(json.dumps(settings, default=str)),
        "runs": _runs(plan, runs),
        "losses": _losses(plan),
    }


def _runs(plan: FitPlan, runs: RunTable) -> dict[str, str]:
    """The digest of each language's runs, as they were read: logarithms differ between machines."""
    rows: dict[str, list[int]] = {name: [] for name in plan.problem.languages}
    for row, name in enumerate(runs.language.tolist()):
        if name in rows:
            rows[name].append(row)
    columns = [runs.loss, runs.weight, *jax.tree.leaves(runs.recipe)]
    return {
        name: _digest(
            "\n".join(map(str, runs.run_id[mine])), *(column[mine].tobytes() for column in columns)
        )
        for name, mine in rows.items()
    }


def _losses(plan: FitPlan) -> list[float]:
    """What the law says somewhere: a law of the user's own may change and keep its name."""
    if not plan.problem.languages:
        return []
    theta = np.mean(plan.law.theta_start(), axis=0)
    with jax.enable_x64(True), jax.default_device(jax.local_devices()[0]):
        first = jax.tree.map(lambda leaf: leaf[0], plan.problem.recipe)
        losses = np.asarray(plan.law.log_loss_theta(theta, first))
    return [float(f"{value:.6g}") for value in np.nan_to_num(losses)[:4]]


def _difference(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In words, what a folder was made with that is not wanted now; empty if nothing."""
    if there["m3jax_version"] != wanted["m3jax_version"]:
        return f"m3jax {there['m3jax_version']}, not {wanted['m3jax_version']}"
    if there["law"] != wanted["law"]:
        return f"law {there['law']}, not {wanted['law']}"
    if there["definition"] != wanted["definition"]:
        return f"other coefficients of law {wanted['law']}"
    told = [
        f"{name} = {before!r}, not {now!r}"
        for name in sorted({*there["settings"], *wanted["settings"]})
        if (before := there["settings"].get(name)) != (now := wanted["settings"].get(name))
    ]
    if told:
        return ", ".join(told)
    if list(there["runs"]) != list(wanted["runs"]):
        new, old = ({*a["runs"]} - {*b["runs"]} for a, b in ((wanted, there), (there, wanted)))
        if not new and not old:
            return "its languages in another order"
        return f"other languages: {_some(old)} only there, {_some(new)} only here"
    changed = [name for name, digest in wanted["runs"].items() if there["runs"][name] != digest]
    if changed:
        return f"other runs of {_some(changed)}"
    if there["padded_runs"] != wanted["padded_runs"]:
        return f"a table padded to {there['padded_runs']} runs, not {wanted['padded_runs']}"
    # The last digit may differ between machines.
    if not np.allclose(there["losses"], wanted["losses"], rtol=2e-5, atol=1e-8):
        return f"another formula of law {wanted['law']}"
    return ""


def _some(names: Any) -> str:
    names = sorted(names)
    shown = ", ".join(map(repr, names[:3])) or "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["checkpoint_version"]
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise M3Error(
            f"{path}: not what m3jax wrote there; remove the folder to start afresh"
        ) from error
    if version != _SCHEMA:
        raise M3Error(
            f"{path}: checkpoint version {version!r}, this m3jax reads version {_SCHEMA};"
            " name another folder"
        )
    return content


def _digest(*parts: str | bytes) -> str:
    """Short: it tells accidents apart, not attacks."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()

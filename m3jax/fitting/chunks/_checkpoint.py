"""A folder of finished parts of one fit: what it is for, and what is in it already.

The folder holds `checkpoint.json`, which says what is fitted and how, and for each finished chunk
of languages a fit file whose name carries the digest of the chunk's runs and settings. Every file
is written whole or not at all, so that any number of processes may share the folder and any of them
may end at any time.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import M3Error
from ...files import parse_json, write_json
from ...runs import RunTable
from .._fits import Fits
from .._plan import FitPlan
from ._identity import chunk_digest, fit_identity, identity_difference

_MANIFEST = "checkpoint.json"
_SCHEMA = 1
_FOREIGN = "{path}: not what m3jax wrote there; remove the folder to start afresh"
_HEARTBEAT_S = 10.0  # between signs of life


class FolderGone(M3Error):
    """A checkpoint's folder cannot be reached, or is not the one that was opened any more."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The folder of one fit, opened.

    A shared folder may go away for a while. Where it is mounted there is nothing then, or an empty
    folder that is not it: while its manifest is missing no chunk is called unfinished, or written.

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
        path, expected = folder / _MANIFEST, fit_identity(plan, runs)
        if not path.exists():
            # Processes that start together come here together, and all write the same.
            content = {"checkpoint_version": _SCHEMA, "chunk": chunk or default, **expected}
            write_json(path, content)
        manifest = _read_manifest(path)
        try:
            different = identity_difference(manifest, expected)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise M3Error(_FOREIGN.format(path=path)) from error
        if not different and chunk is not None and chunk != manifest["chunk"]:
            different = f"chunks of {manifest['chunk']} languages, not {chunk}"
        if different:
            raise M3Error(
                f"{folder}: is the checkpoint of another fit, with {different}; to start afresh"
                " name another folder or remove this one"
            )
        size, count = int(manifest["chunk"]), len(plan.problem.languages)
        chunks = tuple(np.arange(i, min(i + size, count)) for i in range(0, count, size))
        paths = []
        for number, rows in enumerate(chunks):
            digest = chunk_digest(expected, [plan.problem.languages[i] for i in rows])
            paths.append(folder / f"chunk-{number:05d}-{digest}.json")
        return cls(folder, plan, chunks, tuple(paths))

    def missing(self) -> list[int]:
        """The chunks that are not finished. Raises `FolderGone`."""
        try:
            finished = set(os.listdir(self.folder))
        except OSError as error:
            raise FolderGone(f"{self.folder}: {error.strerror or error}") from error
        if _MANIFEST not in finished:
            raise FolderGone(f"{self.folder}: {_MANIFEST} is not there any more")
        return [number for number, path in enumerate(self.paths) if path.name not in finished]

    def discard_damaged(self, numbers: Iterable[int]) -> None:
        """Of these chunks, remove files that are there but cannot be read. Raises `FolderGone`."""
        missing = {*self.missing()}
        for number in numbers:
            if number not in missing:
                try:
                    self.load(number)
                except FolderGone:
                    raise  # of which nothing is known, so nothing is removed
                except M3Error:
                    self.paths[number].unlink(missing_ok=True)

    def load(self, number: int) -> Fits:
        """The fits of a finished chunk. Raises `M3Error` if its file is missing or damaged."""
        path = self.paths[number]
        try:
            fits = Fits.load(path, law=self.plan.law)
        except (M3Error, OSError):
            self.missing()  # raises another error where the folder is the reason
            raise
        names = {self.plan.problem.languages[i] for i in self.chunks[number]}
        if names != {*fits.languages, *fits.failed}:
            raise M3Error(f"{path}: does not hold the languages of its chunk")
        return fits

    def save(self, number: int, fits: Fits) -> None:
        """Write the fits of a chunk, whole or not at all. Raises `FolderGone`, or `M3Error`."""
        self.missing()
        try:
            fits.save(self.paths[number])
        except (M3Error, OSError):
            self.missing()
            raise
        if number in self.missing():
            raise FolderGone(
                f"{self.folder}: went away while {self.paths[number].name} was written"
            )

    def last_heartbeat(self, process: int) -> int:
        """When a process last gave a sign of life, in nanoseconds by the folder's clock; or 0."""
        with suppress(OSError):
            return self._heartbeat_path(process).stat().st_mtime_ns
        return 0

    @contextmanager
    def heartbeat(self, process: int, patience: float) -> Iterator[None]:
        """Give signs of life meanwhile, for others to see who wait so many seconds for one."""
        path, over = self._heartbeat_path(process), threading.Event()

        def beat() -> None:
            while True:
                with suppress(OSError):  # a full disk is told by who writes the results
                    path.touch()
                if over.wait(min(_HEARTBEAT_S, patience / 5)):
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(OSError):
                path.unlink()

    def _heartbeat_path(self, process: int) -> Path:
        return self.folder / f".process-{process:05d}"


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"), str(path))
        version, size = content["checkpoint_version"], content.get("chunk")
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise M3Error(_FOREIGN.format(path=path)) from error
    if version == _SCHEMA and not (type(size) is int and 0 < size < 2**53):
        raise M3Error(_FOREIGN.format(path=path))
    if version != _SCHEMA:
        raise M3Error(
            f"{path}: checkpoint version {str(version)[:40]}, this m3jax reads version {_SCHEMA};"
            " name another folder"
        )
    return content

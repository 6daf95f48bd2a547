"""Fits of many languages in chunks that survive the process, on one host or many.

Languages do not need one another, so hosts share a folder and nothing else: each fits every n-th
chunk of languages and leaves it there as a file. What is in the folder stays finished, whichever
process ends and however many start again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from ..._errors import M3Error
from ..._progress import Progress, silent
from ...laws import Law
from ...options import FitOptions, takes
from ...runs import RunTable
from .._fits import Fits
from .._plan import FitPlan, plan_fit
from ..engine import CANDIDATES_PER_START
from ._checkpoint import Checkpoint, FolderGone

T = TypeVar("T")

_CHUNK_BYTES = 512 << 20
_COPIES = 5  # of its draws and Jacobians that a fit holds at the same time
# By default: few languages to lose, no chunk too small for the devices.
_CHUNKS_PER_PROCESS, _LEAST_LANGUAGES = 4, 64


@takes(FitOptions)
def fit_in_chunks(
    runs: RunTable,
    law: str | Law = "m3",
    *,
    checkpoint: str | os.PathLike[str],
    chunk: int | None = None,
    share: tuple[int, int] | None = None,
    patience: float = 300.0,
    options: FitOptions,
    progress: Progress | None = None,
) -> Fits:
    """`fit`, with every finished chunk of languages kept in a folder.

    Called again with the same runs and options it goes on where it ended. Called by several
    processes that see the same folder, each fits its share of the chunks, waits for the others and
    returns the fits of all languages, the same that `fit` would have returned.

    Args:
        runs: the run table; every process needs all of it.
        law: a law or its registered name.
        checkpoint: the folder, made if there is none. It is left as it is: remove it when the fits
            are saved.
        chunk: languages in each chunk. By default what the folder was made with; in a new one four
            chunks for each process, fewer if there are not 64 languages for each, and of no more
            languages than need 512 MiB:
            languages × coefficients × (draws + runs + 8 · starts) × 40 bytes.
        share: (process, processes) where the launcher tells and JAX does not know, as for an array
            of jobs. By default what JAX says: one process, or those that `connect` found.
        patience: seconds to wait for a process that owes chunks and shows no sign of life, and for
            the folder where that has gone.
        options: the fields of `FitOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`; the stage "chunks" counts those of all
            processes.

    Raises `M3Error` as `fit` does; if the folder is for another fit, saying what differs; and if
    another process has ended before its share. Finished chunks are never lost.
    """
    if chunk is not None and chunk < 1:
        raise M3Error(f"chunk: expected a positive number of languages, got {chunk}")
    if not patience > 0:
        raise M3Error(f"patience: expected a positive number of seconds, got {patience}")
    process, processes = share or (jax.process_index(), jax.process_count())
    if not 0 <= process < processes:
        raise M3Error(
            f"share: expected process 0 to {processes - 1} of {processes}, got {process}: they are"
            " counted from 0"
        )
    report = progress or silent
    plan = plan_fit(runs, law, options, report)
    folder = Checkpoint.open(Path(checkpoint), plan, runs, chunk, default_chunk(plan, processes))
    with folder.heartbeat(process, patience):
        _fit_share(folder, range(process, len(folder.chunks), processes), patience, report)
    _wait_for_others(folder, processes, patience, report)
    # Others' files may be damaged: they are found here, and fitted anew by who starts again.
    parts = [
        _while_gone(partial(folder.load, number), patience, report)
        for number in range(len(folder.chunks))
    ]
    return plan.joined(parts) if parts else plan.fit(report)


def default_chunk(plan: FitPlan, processes: int) -> int:
    """Languages in each chunk where the caller does not say, see `fit_in_chunks`."""
    count, p = plan.problem.free.shape
    candidates = CANDIDATES_PER_START * plan.settings["starts"]
    rows = plan.settings["draws"] + plan.problem.mask.shape[1] + candidates
    most = max(1, _CHUNK_BYTES // (8 * _COPIES * p * rows))
    per_process = max(1, -(-count // processes))
    wanted = max(min(_LEAST_LANGUAGES, per_process), -(-per_process // _CHUNKS_PER_PROCESS))
    chunks = max(1, -(-count // min(most, wanted)))
    return max(1, -(-count // chunks))


def _while_gone(action: Callable[[], T], patience: float, report: Progress) -> T:
    """What an action on the shared folder gives, once that is there: tried again for `patience` s.

    A mount that comes back finds the work where it was; what a process has fitted is not lost.
    """
    began = time.monotonic()
    while True:
        try:
            return action()
        except FolderGone as error:
            if time.monotonic() - began > patience:
                raise M3Error(
                    f"{error}, for {patience:g} s; what is finished is kept there: start again"
                    " when the folder is back"
                ) from error
        report("waiting for the folder", 0, 1)
        time.sleep(min(1.0, patience / 10))


def _fit_share(
    checkpoint: Checkpoint, share: Sequence[int], patience: float, report: Progress
) -> None:
    """Fit the chunks of this process that are not finished."""
    _while_gone(partial(checkpoint.discard_damaged, share), patience, report)
    for number in share:
        missing = _while_gone(checkpoint.missing, patience, report)
        report("chunks", len(checkpoint.chunks) - len(missing), len(checkpoint.chunks))
        if number in missing:
            plan = checkpoint.plan.take(checkpoint.chunks[number])
            fits = plan.fit(report)
            _while_gone(partial(checkpoint.save, number, fits), patience, report)


def _wait_for_others(
    checkpoint: Checkpoint, processes: int, patience: float, report: Progress
) -> None:
    """Until no chunk is missing, or a process that owes some has been silent for too long."""
    total = len(checkpoint.chunks)
    # Of each process: (last heartbeat, chunks it owes), and when that was new.
    signs: dict[int, tuple[tuple[int, int], float]] = {}
    while missing := _while_gone(checkpoint.missing, patience, report):
        report("chunks", total - len(missing), total)
        owed = np.bincount([number % processes for number in missing], minlength=processes)
        now = time.monotonic()
        for process in map(int, np.flatnonzero(owed)):
            sign = checkpoint.last_heartbeat(process), int(owed[process])
            if process not in signs or signs[process][0] != sign:
                signs[process] = sign, now
            elif now - signs[process][1] > patience:
                raise M3Error(
                    f"{checkpoint.folder}: process {process} of {processes} owes {owed[process]} of"
                    f" {total} chunks and has shown no sign of life for {patience:g} s; what is"
                    " finished is kept: start again, with any number of processes"
                )
        time.sleep(min(1.0, patience / 10))
    report("chunks", total, total)

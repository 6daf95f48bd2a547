"""Fits of many languages in chunks that survive the process, on one host or many.

Languages do not need one another, so hosts share a folder and nothing else: each fits every n-th
chunk of languages and leaves it there as a file. What is in the folder stays finished, whichever
process ends and however many start again.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._errors import M3Error
from ..._progress import Progress, silent
from ...laws import Law
from ...options import FitOptions, takes
from ...runs import RunTable
from .._fit import FitPlan, plan_fit
from .._fits import Fits
from ._checkpoint import Checkpoint

_CHUNK_BYTES = 512 << 20
_COPIES = 5  # of its draws and Jacobians that a fit holds at the same time
_CANDIDATES = 8  # for each start
_CHUNKS_EACH, _LEAST_LANGUAGES = 4, 64  # by default: few to lose, none too small for the devices


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
        patience: seconds to wait for a process that owes chunks and shows no sign of life.
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
    with folder.alive(process, patience):
        _fit_share(folder, range(process, len(folder.chunks), processes), report)
    _wait_for_others(folder, processes, patience, report)
    # Others' files may be damaged: they are found here, and fitted anew by who starts again.
    parts = [folder.load(number) for number in range(len(folder.chunks))]
    return _joined(plan, parts) if parts else plan.fit(report)


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    patience: float = 300.0,
) -> tuple[int, int]:
    """Find the other processes through `jax.distributed`; returns (process, processes).

    Without arguments Slurm, Open MPI, Kubernetes and TPU pods are recognised; elsewhere give the
    host:port of process 0, how many processes there are and which one this is. To be called before
    JAX is used. `jax.distributed.initialize` may be called instead, but ends all processes when one
    ends; here the connection is closed as soon as all have been found, and those that are left
    finish their shares.

    Raises `M3Error` if there is nothing to connect to, or if a process is missing after `patience`
    seconds.
    """
    if jax.distributed.is_initialized():
        return jax.process_index(), jax.process_count()
    failure: list[Exception] = []

    def meet() -> None:
        try:
            # JAX ends the process where its own time runs out: it gets longer than our patience.
            jax.distributed.initialize(
                coordinator, processes, process, initialization_timeout=int(patience) + 3600
            )
            jax.process_count()  # devices are counted while all are there
            jax.distributed.shutdown()
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=meet, daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        who = "this process" if process is None else f"process {process}"
        many = "the others" if processes is None else f"all {processes} processes"
        where = "the coordinator" if coordinator is None else coordinator
        raise M3Error(
            f"{who} has not met {many} at {where} within {patience:g} s; start all of them with the"
            " same coordinator, one each of process 0, 1, …, and see that its port can be reached"
        )
    if failure:
        reason = " ".join(str(failure[0]).split()).rstrip(".")
        raise M3Error(
            f"cannot connect to other processes: {reason}; give the coordinator's host:port, the"
            " number of processes and which one this is, or the last two alone with a shared folder"
        ) from failure[0]
    return jax.process_index(), jax.process_count()


def share_of(
    *,
    distributed: bool = False,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    patience: float = 300.0,
) -> tuple[int, int]:
    """The `share` that the options of a command line mean: (process, processes).

    `distributed` asks the launcher and `coordinator` the process there, see `connect`; the numbers
    alone are taken as they are, for processes that a folder is enough for. Nothing at all means one
    process. Raises `M3Error` as `connect` does and for half of a pair of numbers.
    """
    if (processes is None) != (process is None):
        raise M3Error("processes and process: expected both or neither")
    if distributed or coordinator is not None:
        return connect(coordinator, processes, process, patience=patience)
    if processes is None or process is None:
        return 0, 1
    return process, processes


def default_chunk(plan: FitPlan, processes: int) -> int:
    count, p = plan.problem.free.shape
    rows = (
        plan.settings["draws"] + plan.problem.mask.shape[1] + _CANDIDATES * plan.settings["starts"]
    )
    most = max(1, _CHUNK_BYTES // (8 * _COPIES * p * rows))
    each = max(1, -(-count // processes))
    wanted = max(min(_LEAST_LANGUAGES, each), -(-each // _CHUNKS_EACH))
    chunks = max(1, -(-count // min(most, wanted)))
    return max(1, -(-count // chunks))


def _fit_share(folder: Checkpoint, mine: Sequence[int], report: Progress) -> None:
    folder.discard_damaged(mine)
    for number in mine:
        missing = folder.missing()
        report("chunks", len(folder.chunks) - len(missing), len(folder.chunks))
        if number in missing:
            folder.save(number, folder.plan.take(folder.chunks[number]).fit(report))


def _wait_for_others(folder: Checkpoint, processes: int, patience: float, report: Progress) -> None:
    """Until no chunk is missing, or a process that owes some has been silent for too long."""
    total = len(folder.chunks)
    heard: dict[int, tuple[tuple[int, int], float]] = {}  # sign of life, and when it was new
    while missing := folder.missing():
        report("chunks", total - len(missing), total)
        owed = np.bincount([number % processes for number in missing], minlength=processes)
        now = time.monotonic()
        for process in map(int, np.flatnonzero(owed)):
            sign = folder.sign(process), int(owed[process])
            if process not in heard or heard[process][0] != sign:
                heard[process] = sign, now
            elif now - heard[process][1] > patience:
                raise M3Error(
                    f"{folder.folder}: process {process} of {processes} owes {owed[process]} of"
                    f" {total} chunks and has shown no sign of life for {patience:g} s; what is"
                    " finished is kept: start again, with any number of processes"
                )
        time.sleep(min(1.0, patience / 10))
    report("chunks", total, total)


def _joined(plan: FitPlan, parts: Sequence[Fits]) -> Fits:
    """The fits of all languages of the plan."""

    def gathered(name: str) -> Any:
        leaves = [getattr(part, name) for part in parts]
        return np.concatenate(leaves) if name in arrays else tuple(chain.from_iterable(leaves))

    of_each = {"languages", "scopes", "messages"}
    arrays = {name for name, value in vars(parts[0]).items() if isinstance(value, np.ndarray)}
    failed = dict(plan.failed)
    for part in parts:
        failed |= part.failed
    joined: dict[str, Any] = {name: gathered(name) for name in of_each | arrays}
    return dataclasses.replace(parts[0], failed=failed, settings=plan.settings, **joined)

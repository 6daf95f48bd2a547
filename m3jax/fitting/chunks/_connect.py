"""Which process of how many this one is."""

from __future__ import annotations

import threading

import jax

from ..._errors import M3Error

_GRACE_S = 3600  # that JAX gets beyond our patience: it ends the process when its own time runs out


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
            jax.distributed.initialize(
                coordinator, processes, process, initialization_timeout=int(patience) + _GRACE_S
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
    """The `share` of `fit_in_chunks` that a command line's options mean: (process, processes).

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

"""Processes that find each other, and those that do not."""

import pytest

from m3jax import M3Error
from m3jax.fitting.chunks import share_of

from .workers import free_port, in_chunks


@pytest.mark.slow
def test_a_process_that_never_came_is_told(table, tmp_path, start):
    with pytest.raises(
        M3Error, match=r"process 1 of 2 owes 2 of 5 chunks .* no sign of life for 1"
    ):
        in_chunks(table, tmp_path / "shared", chunk=1, share=(0, 2), patience=1.0)
    address = f"127.0.0.1:{free_port()}"
    order = {"languages": 1, "output": "", "patience": 2}
    workers = [start(**order, connect=(address, 3, i)) for i in range(2)]
    for i, worker in enumerate(workers):
        _, told = worker.communicate(timeout=180)
        assert worker.returncode == 1
        assert f"process {i} has not met all 3 processes at {address} within 2 s" in told


def test_nothing_to_connect_to_is_told(start):
    worker = start(languages=1, output="", connect=())
    _, told = worker.communicate(timeout=180)
    assert worker.returncode == 1
    assert "M3Error: cannot connect to other processes: coordinator_address" in told
    with pytest.raises(M3Error, match="expected both or neither"):
        share_of(processes=2)
    assert share_of() == (0, 1)
    assert share_of(processes=3, process=2) == (2, 3)

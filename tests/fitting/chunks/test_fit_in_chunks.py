"""Fits on several devices, in several processes, ended halfway and gone on with."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import Fits, M3Error, fit
from m3jax.cli import main
from m3jax.fitting import plan_fit
from m3jax.fitting.chunks import default_chunk
from m3jax.options import FitOptions

from .workers import LAW, MANY, OPTIONS, assert_same, ended, free_port, in_chunks, made_up, stamps


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"chunk": 0}, "chunk: expected a positive"),
        ({"share": (2, 2)}, "share: expected process 0 to 1 of 2, got 2"),
        ({"patience": 0.0}, "patience: expected a positive"),
        ({"draws": 1}, "draws: expected 0 or a whole number >= 2"),
    ],
)
def test_wrong_options_are_told(wrong, told, table, tmp_path):
    with pytest.raises(M3Error, match=told):
        in_chunks(table, tmp_path, **wrong)


def test_an_unknown_option_is_an_error(table, tmp_path):
    with pytest.raises(M3Error, match="unknown option 'drawz'; did you mean 'draws'"):
        in_chunks(table, tmp_path, drawz=1)


def test_chunks_are_bounded_in_memory_and_few(table):
    def size(languages, processes, **options):
        plan = plan_fit(table, "chinchilla", FitOptions(**options), lambda *told: None)
        many = dataclasses.replace(
            plan.problem, free=jnp.ones((languages, 5)), mask=np.ones((1, 100), dtype=bool)
        )
        return default_chunk(dataclasses.replace(plan, problem=many), processes)

    assert size(50, 1) == 50
    assert size(10_000, 1) == 2500
    assert size(10_000, 8) == 313
    assert size(50, 8) == 7
    # 512 MiB / (5 coefficients × (10000 + 100 + 8 · 8) × 40 bytes)
    assert size(10_000, 1, draws=10_000) <= 264


@pytest.mark.slow
def test_four_devices_give_what_one_gives(whole, start, tmp_path):
    flags = "--xla_force_host_platform_device_count=4"
    output = tmp_path / "fits.json"
    assert ended(start(languages=5, output=str(output), flags=flags)) == ["4 0 1"]
    fits = Fits.load(output, law=LAW)
    np.testing.assert_allclose(fits.theta, whole.theta, rtol=1e-9)
    np.testing.assert_allclose(fits.draws, whole.draws, rtol=1e-9)
    assert_same(fits, whole)


@pytest.mark.slow
@pytest.mark.parametrize("connected", [True, False])
def test_two_processes_give_what_one_gives(connected, table, whole, start, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    how = [{"connect": (address, 2, i)} if connected else {"share": (i, 2)} for i in range(2)]
    folder = tmp_path / "shared"
    workers = [
        start(
            languages=5,
            options=OPTIONS | {"chunk": 1},
            checkpoint=str(folder),
            output=str(tmp_path / f"{i}.json"),
            **how[i],
        )
        for i in range(2)
    ]
    for i, worker in enumerate(workers):
        told = ended(worker)
        assert told[-1] == (f"1 {i} 2" if connected else "1 0 1")
        assert "chunks 5 5" in told
        assert sum(line == "fitting 0 1" for line in told) == (3, 2)[i]
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2))
    # All but the name of the arrays, and what signs that name with the rest.
    assert first.pop("checksum") != second.pop("checksum")
    first["arrays"]["file"] = "1.npz"
    assert first == second
    assert_same(Fits.load(tmp_path / "0.json", law=LAW), whole)
    # A third, alone, has nothing left to do.
    assert_same(in_chunks(table, folder), whole)


@pytest.mark.slow
def test_a_killed_process_loses_only_what_it_was_at(start, tmp_path):
    table = made_up(MANY)
    folder, address = tmp_path / "shared", f"127.0.0.1:{free_port()}"
    order = {
        "languages": MANY,
        "options": OPTIONS | {"chunk": 1},
        "checkpoint": str(folder),
        "output": str(tmp_path / "fits.json"),
        "patience": 5,
    }
    left, killed = (start(**order, connect=(address, 2, i)) for i in range(2))
    deadline = time.monotonic() + 60
    odd = [f"chunk-{number:05d}-" for number in range(1, MANY, 2)]
    while not any(list(folder.glob(f"{name}*.json")) for name in odd):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    # The other one finishes its share, and then says what is missing.
    _, told = left.communicate(timeout=180)
    assert left.returncode == 1
    assert "process 1 of 2 owes" in told
    assert "no sign of life for 5 s" in told
    before = stamps(folder)
    done = {name[:12] for name in before if name.endswith(".json")}
    assert {f"chunk-{number:05d}-" for number in range(0, MANY, 2)} <= done
    assert len(done) < MANY
    # Three go on where two were.
    again = [start(**order | {"patience": 60}, share=(i, 3)) for i in range(3)]
    for worker in again:
        ended(worker)
    after = stamps(folder)
    assert before == {name: after[name] for name in before}
    assert_same(Fits.load(tmp_path / "fits.json", law=LAW), fit(table, LAW, **OPTIONS))


@pytest.mark.slow
def test_the_command_line_shares_and_goes_on(tmp_path, capsys, monkeypatch):
    def m3jax(*arguments):
        monkeypatch.setattr(sys, "argv", ["m3jax", "fit", *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            main()
        return capsys.readouterr()

    made_up(3).to_frame().to_csv(tmp_path / "runs.csv", index=False)
    given = tmp_path / "runs.csv", "--law", "chinchilla", "--starts", 2, "--draws", 2
    parts, output = tmp_path / "parts", tmp_path / "fits.json"
    alone = m3jax(*given, "--json").out
    assert m3jax(*given, "--checkpoint", parts, "--json").out == alone
    before = stamps(parts)
    # The parts are there, so neither process has to wait for the other; the first one writes.
    shared = *given, "--checkpoint", parts, "--processes", 2, "-o", output
    assert m3jax(*shared, "--process", 1).out == ""
    assert not output.exists()
    m3jax(*shared, "--process", 0)
    assert stamps(parts) == before
    assert Fits.load(output).to_dict() == json.loads(alone)
    for wrong, told in (
        (("--processes", 2, "--process", 0), "--checkpoint: expected a folder"),
        (("--distributed",), "--checkpoint: expected a folder"),
        (("--checkpoint", parts, "--processes", 2), "expected both or neither"),
    ):
        assert told in m3jax(*given, *wrong).err


@pytest.mark.slow
def test_jobs_that_a_scheduler_numbers_share_by_the_folder_alone(tmp_path, environment):
    """As an indexed job of Kubernetes starts them, or an array of Slurm: one number each."""
    number = "JOB_COMPLETION_INDEX"
    made_up(3).to_frame().to_csv(tmp_path / "runs.csv", index=False)
    fit = f"{sys.executable} -m m3jax fit runs.csv --law chinchilla --starts 2 --draws 2"
    shared = f"{fit} --checkpoint parts --processes 2 --process ${number} -o fits.json"
    jobs = [
        subprocess.Popen(["sh", "-c", shared], cwd=tmp_path, env=environment | {number: str(index)})
        for index in (0, 1)
    ]
    assert [job.wait(timeout=180) for job in jobs] == [0, 0]
    alone = subprocess.run(
        ["sh", "-c", f"{fit} --json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )
    assert Fits.load(tmp_path / "fits.json").to_dict() == json.loads(alone.stdout)

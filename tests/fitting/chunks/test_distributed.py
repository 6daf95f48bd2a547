"""Fits in chunks: on several devices, in several processes, ended halfway and gone on with."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Coefficient, Fits, Law, M3Error, RunTable, fit, fit_in_chunks
from m3jax.cli import main
from m3jax.fitting import plan_fit
from m3jax.fitting.chunks import default_chunk, share_of
from m3jax.options import FitOptions

from ...conftest import ROOT

OPTIONS = {"draws": 6, "starts": 2}
MANY = 24


def power_law(unit=1e3):
    """A law of which little is to be compiled."""
    return Law(
        name="own",
        coefficients=(
            Coefficient("E", start=(0.5, 3.0), bounds=(1e-3, 1e2), log=True, neutral=1e-3),
            Coefficient("b", start=(0.1, 0.8), bounds=(0.0, 3.0)),
        ),
        function=lambda c, recipe: c["E"] + unit * recipe.total_tokens ** -c["b"],
        variables=("total_tokens",),
    )


LAW = power_law()


def made_up(languages):
    return run_table(true_theta(languages, 3, "chinchilla"), 40, 0.005, 5)


WORKER = """
import json, sys
import jax
from m3jax import M3Error, fit, fit_in_chunks
from m3jax.distributed import connect
from tests.fitting.chunks.test_distributed import LAW, made_up

order = json.loads(sys.argv[1])
options = order["options"]
try:
    if "connect" in order:
        connect(*order["connect"], patience=order.get("patience", 60))
    runs = made_up(order["languages"])
    if "checkpoint" in order:
        options |= {"checkpoint": order["checkpoint"], "patience": order.get("patience", 60)}
        fits = fit_in_chunks(
            runs, LAW, share=order.get("share"), **options,
            progress=lambda *told: print(*told, flush=True),
        )
    else:
        fits = fit(runs, LAW, **options)
except M3Error as error:
    sys.exit(f"M3Error: {error}")
print(len(jax.local_devices()), jax.process_index(), jax.process_count())
fits.save(order["output"])
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Of a worker: what is compiled once is there for the next."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def table():
    return made_up(5)


@pytest.fixture(scope="module")
def whole(table):
    return fit(table, LAW, **OPTIONS)


@pytest.fixture
def start(environment):
    """Start a worker; whatever is left of it is ended."""
    workers = []

    def start(*, flags="", **order):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps({"options": OPTIONS} | order)],
            env=environment | {"XLA_FLAGS": flags},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


def ended(worker, timeout=60):
    out, told = worker.communicate(timeout=timeout)
    assert worker.returncode == 0, told
    return out.splitlines()


def in_chunks(table, folder, law=LAW, **more):
    return fit_in_chunks(table, law, checkpoint=folder, **(OPTIONS | more))


def assert_same(ours, theirs):
    assert json.dumps(ours.to_dict()) == json.dumps(theirs.to_dict())
    for name in ("theta", "draws", "frozen", "objective", "n_runs", "converged", "agreement"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.scopes == theirs.scopes


def stamps(folder):
    """What changes when a file is written again."""
    files = {path.name: path.stat() for path in folder.glob("chunk-*")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in files.items()}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Chunks and what is in the folder


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_chunks_change_nothing(chunk, table, whole, tmp_path):
    assert_same(in_chunks(table, tmp_path / "new" / "folder", chunk=chunk), whole)


@pytest.mark.slow
def test_finished_chunks_are_not_fitted_again(table, whole, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    assert len(before) == 6
    gone = sorted(tmp_path.glob("chunk-00001-*"))
    for path in gone:
        path.unlink()
    told = []
    again = in_chunks(table, tmp_path, progress=lambda *what: told.append(what))
    assert_same(again, whole)
    after = stamps(tmp_path)
    assert {k for k in before if before[k] != after[k]} == {path.name for path in gone}
    assert [what for what in told if what[0] == "fitting"] == [("fitting", 0, 2), ("fitting", 2, 2)]
    assert [what[1] for what in told if what[0] == "chunks"] == [2, 2, 3, 3]


@pytest.mark.slow
def test_languages_that_cannot_be_fitted_are_told(table, tmp_path):
    position = {name: i for i, name in enumerate(table.languages)}
    short = np.array([position[name] == 1 for name in table.language])
    some = table.select(~short | (np.cumsum(short) <= 3))
    fits = in_chunks(some, tmp_path, chunk=1)
    assert_same(fits, fit(some, LAW, **OPTIONS))
    assert list(fits.failed) == [table.languages[1]]
    none = some.for_language(table.languages[1])
    assert in_chunks(none, tmp_path / "none").languages == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chunk": 3}, "chunks of 2 languages, not 3"),
        ({"seed": 1, "draws": 7}, "draws = 6, not 7, seed = 0, not 1"),
        ({"fixed": {"E": 1.8}}, r"fixed = \{\}, not \{'E': 1.8\}"),
        ({"law": "m3"}, "law own, not m3"),
    ],
)
def test_another_fit_is_refused(change, told, table, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    with pytest.raises(M3Error, match=f"is the checkpoint of another fit, with {told}"):
        in_chunks(table, tmp_path, **change)
    assert stamps(tmp_path) == before


def test_other_runs_are_refused(table, tmp_path):
    in_chunks(table, tmp_path)
    first = table.languages[0]
    loss = table.loss.copy()
    loss[np.flatnonzero(table.language == first)[3]] *= 1 + 1e-12
    with pytest.raises(M3Error, match=f"with other runs of '{first}'"):
        in_chunks(dataclasses.replace(table, loss=loss), tmp_path)
    with pytest.raises(M3Error, match=f"other languages: '{first}' only there, none only here"):
        in_chunks(table.select(table.language != first), tmp_path)
    back = RunTable.from_frame(table.to_frame().sort_values("language", ascending=False))
    with pytest.raises(M3Error, match="its languages in another order"):
        in_chunks(back, tmp_path)


def test_a_law_that_changed_behind_its_name_is_refused(table, tmp_path):
    in_chunks(table, tmp_path)
    with pytest.raises(M3Error, match="another formula of law own"):
        in_chunks(table, tmp_path, power_law(2e3))


@pytest.mark.slow
def test_damaged_chunks_are_fitted_again(table, whole, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    cut, foreign = sorted(tmp_path.glob("chunk-*.json"))[:2]
    cut.write_text(cut.read_text()[:200])
    foreign.with_suffix(".npz").write_bytes(b"not an array")
    (tmp_path / ".chunk-00009.json.abcdef").write_text("half")
    assert_same(in_chunks(table, tmp_path), whole)
    changed = {name for name, stamp in stamps(tmp_path).items() if stamp != before[name]}
    assert {name[:11] for name in changed} == {"chunk-00000", "chunk-00001"}


@pytest.mark.parametrize("content", ["{", "[]", '{"checkpoint_version": 99}'])
def test_a_damaged_manifest_is_told(content, table, tmp_path):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(M3Error, match=r"checkpoint\.json: .*(not what m3jax wrote|version 99)"):
        in_chunks(table, tmp_path)


def test_a_folder_that_cannot_be_made_is_told(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(M3Error, match="cannot be written"):
        in_chunks(table, tmp_path / "file")


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


# Devices and processes


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
    texts = [(tmp_path / f"{i}.json").read_text() for i in range(2)]
    assert texts[0].replace("0.npz", "1.npz") == texts[1]
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
    _, told = left.communicate(timeout=60)
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
def test_a_process_that_never_came_is_told(table, tmp_path, start):
    with pytest.raises(
        M3Error, match=r"process 1 of 2 owes 2 of 5 chunks .* no sign of life for 1"
    ):
        in_chunks(table, tmp_path / "shared", chunk=1, share=(0, 2), patience=1.0)
    address = f"127.0.0.1:{free_port()}"
    order = {"languages": 1, "output": "", "patience": 2}
    workers = [start(**order, connect=(address, 3, i)) for i in range(2)]
    for i, worker in enumerate(workers):
        _, told = worker.communicate(timeout=60)
        assert worker.returncode == 1
        assert f"process {i} has not met all 3 processes at {address} within 2 s" in told


def test_nothing_to_connect_to_is_told(start):
    worker = start(languages=1, output="", connect=())
    _, told = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert "M3Error: cannot connect to other processes: coordinator_address" in told
    with pytest.raises(M3Error, match="expected both or neither"):
        share_of(processes=2)
    assert share_of() == (0, 1)
    assert share_of(processes=3, process=2) == (2, 3)


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

"""Fits in chunks as tests make them, in this process and in others."""

import json
import socket

import numpy as np

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Coefficient, Law, fit_in_chunks

OPTIONS = {"draws": 6, "starts": 2, "engine": "batch"}


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
from tests.fitting.chunks.workers import LAW, made_up

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


def ended(worker, timeout=180):
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

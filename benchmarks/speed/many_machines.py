"""What do several processes that share a folder cost against one?

    python -m benchmarks.speed.many_machines --languages 10000 --draws 100 --processes 1,4 --json

Made-up languages are fitted with `m3jax fit --checkpoint`, by one process and by several that are
started together and talk through the folder alone, each a whole one: imports, the table read,
code compiled into an empty folder. They share this machine's cores, so the best that several can do
is the seconds of one. Efficiency is the processor time of one over that of all together, which is
what several machines pay. The fits have to be the same, bit for bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.measure import cores, device_name, machine
from benchmarks.support.script import new_parser, parse, print_result, say, whole_numbers
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Fits

_TABLE, _FITS = "runs.csv", "fits.json"


def shared_fit(folder: Path, processes: int, options: list[str]) -> dict[str, float]:
    """Wall and processor seconds of so many processes that fit the folder's table together."""
    own = folder / str(processes)
    own.mkdir()
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(own / "compiled")}
    command = [sys.executable, "-m", "m3jax", "fit", str(folder / _TABLE), *options, "--quiet"]
    command += ["--checkpoint", str(own / "parts"), "-o", str(own / _FITS)]
    began = time.perf_counter()
    started = [
        subprocess.Popen(
            [*command, "--processes", str(processes), "--process", str(number)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in range(processes)
    ]  # fmt: skip
    processor = 0.0
    for process in started:
        assert process.stdout is not None
        with process.stdout as pipe:
            told = pipe.read()  # to its end: a full pipe would stop the process
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(told.decode())
        processor += used.ru_utime + used.ru_stime
    return {"seconds": time.perf_counter() - began, "processor_seconds": processor}


def is_same(ours: Fits, theirs: Fits) -> bool:
    """Whether two fits are the same, bit for bit."""
    arrays = all(np.array_equal(getattr(ours, n), getattr(theirs, n)) for n in ("theta", "draws"))
    return arrays and json.dumps(ours.to_dict()) == json.dumps(theirs.to_dict())


def study(
    languages: int, runs: int, draws: int, law: str, processes: list[int], seed: int
) -> dict[str, Any]:
    """Each number of processes in turn, the first being what the others are held against."""
    options = ["--law", law, "--draws", str(draws), "--seed", str(seed)]
    table = run_table(true_theta(languages, seed), runs, 0.005, seed + 1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table.to_frame().to_csv(folder / _TABLE, index=False)
        fits = []
        for count in processes:
            say(f"{count} processes, {languages} languages")
            row = {"processes": count, **shared_fit(folder, count, options)}
            fits.append(Fits.load(folder / str(count) / _FITS))
            row["same"] = is_same(fits[0], fits[-1])
            row["efficiency"] = (rows or [row])[0]["processor_seconds"] / row["processor_seconds"]
            row["longer"] = row["seconds"] / (rows or [row])[0]["seconds"]
            rows.append(row)
    return {
        "machine": machine(device_name()), "law": law, "languages": languages, "runs": runs,
        "draws": draws, "shared_cores": cores(), "rows": rows,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(
        f"{result['languages']} languages × {result['runs']} runs, {result['draws']} draws,"
        f" {result['law']}, {result['shared_cores']} cores for all"
    )
    for row in result["rows"]:
        print(
            f"{row['processes']} processes: {row['seconds']:.1f} s ({row['longer']:.2f} times),"
            f" {row['processor_seconds']:.1f} s of processor, efficiency {row['efficiency']:.2f},"
            f" {'the same' if row['same'] else 'ANOTHER'} fit"
        )


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--languages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=40, help="of each language")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--law", default="m3")
    parser.add_argument("--processes", type=whole_numbers, default=[1, 4], help="1,4")
    options, as_json = parse(parser)
    result = study(**options)
    print_result(result, as_json, show)
    return 0 if all(row["same"] for row in result["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())

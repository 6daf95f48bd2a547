"""How long does a user wait, from the prompt to the answer?

    python -m benchmarks.speed.time_to_answer --json

Every command is a whole process, timed from outside. Cold is with an empty folder of compiled code,
cached with that of the cold process; warm is the third call within one process. Beside it stand
SciPy's solvers as whole processes that do the same work on the same cores. MINPACK with exact
Jacobians fits the same table, read by pandas, to the same objective from one start a language, with
bounds, starts and scaling that are ready; SLSQP with exact gradients finds the same recipes. What
they find is compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import m3jax
from benchmarks.support.answers import JOBS
from benchmarks.support.measure import device_name, machine
from benchmarks.support.recipe_terms import Terms
from benchmarks.support.recipes import faces, fits_of
from benchmarks.support.script import Say, new_parser, parse, print_result, say
from benchmarks.support.work import PeerProblem, Work, run_table_of
from m3jax.laws import LogSpaceLaw
from m3jax.runs import RunTable

PEERS = {"fit_many": "minpack", "optimize_plain": "slsqp"}
_COLUMNS = ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio")
_COMPUTE, _TOKENS = 1e20, 1e8  # of `optimize_plain`
SHIPPED = Path(m3jax.__file__).parent / "data" / "pilot_debian.csv"


def in_process(command: list[str], folder: Path, cache: Path | None = None) -> tuple[float, str]:
    """Wall-clock seconds of a whole process, and what it prints. Raises where it fails."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    root = str(Path(__file__).resolve().parents[2])
    environment = kept | {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return seconds, done.stdout


def write_files(folder: Path, work: Work) -> None:
    """The tables, fits and arrays that the processes begin from."""
    table = run_table_of(work)
    with (folder / "many.csv").open("w", encoding="utf-8") as file:
        print("language", *_COLUMNS, "loss", sep=",", file=file)
        columns = [getattr(table.recipe, name) for name in _COLUMNS]
        for row in zip(table.language, *columns, table.loss, strict=True):
            print(*row, sep=",", file=file)
    problem = PeerProblem.of(work)
    law = problem.law
    np.savez(
        folder / "minpack.npz",
        law=json.dumps(
            {
                "names": law.names,
                "terms": law.terms,
                "diluting": law.diluting,
                "variables": _COLUMNS,
            }
        ),
        centre=problem.centre,
        lower=problem.lower,
        upper=problem.upper,
        start_low=problem.start_low,
        start_high=problem.start_high,
        starts=problem.starts(1)[:, 0],
        delta=problem.delta,
    )
    (folder / "few.csv").write_bytes(SHIPPED.read_bytes())
    m3jax.fit(RunTable.read(SHIPPED), draws=200).save(folder / "fits.json")
    known = fits_of(4, work.seed, "m3")
    known.save(folder / "known.json")
    assert isinstance(known.law, LogSpaceLaw)
    terms = [Terms.of(known.law, theta, _TOKENS) for theta in known.theta]
    sides = {
        f"{name}{i}": leaf
        for i, face in enumerate(faces(_COMPUTE, _TOKENS).values())
        for name, leaf in vars(face).items()
    }
    stacked = {
        field.name: np.array([getattr(t, field.name) for t in terms])
        for field in dataclasses.fields(Terms)
    }
    np.savez(folder / "slsqp.npz", **stacked, **sides)


def same_answers(folder: Path, work: Work, name: str) -> float:
    """Share of m3jax's answers that are within 0.1% of the better of both (recipes: 1e-6 nats)."""
    if name == "optimize_plain":
        command = [sys.executable, "-m", "m3jax.cli", *JOBS[name].arguments, "--json"]
        _, told = in_process(command, folder)
        own = np.log([row["loss"] for row in json.loads(told)])
        return float(np.mean(own <= np.load(folder / "slsqp.npy") + 1e-6))
    problem = PeerProblem.of(work)
    with np.load(folder / "many.npz") as found:
        row = {name: i for i, name in enumerate(found["languages"].tolist())}
        x = problem.to_x(found["theta"][[row[name] for name in run_table_of(work).languages]])
    peer = np.load(folder / "minpack.npy")
    ends = np.array(
        [[problem.residuals(i).objective(at[i]) for at in (x, peer)] for i in range(len(x))]
    )
    return float(np.mean(ends[:, 0] <= ends.min(axis=1) * 1.001))


def study(
    work: Work, *, draws: int, repeats: int, only: list[str] | None, say: Say
) -> dict[str, Any]:
    """Everything that `main` prints, as one JSON document."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="m3jax-answers-") as name:
        folder = Path(name)
        write_files(folder, work)
        for job_name in only or JOBS:
            job = JOBS[job_name]
            numbers = {"draws": draws, "languages": work.languages, "runs": work.runs}
            say(f"{job_name}: {job.about.format(**numbers)}")
            times = max(1, repeats // job.times)
            cold, cached, peer = [], [], []
            for i in range(times):
                command = job.command(numbers)
                cache = folder / f"cache_{job_name}_{i}"
                cold.append(in_process(command, folder, cache)[0])
                cached.append(in_process(command, folder, cache)[0])
                if job_name in PEERS:
                    peer.append(timed_peer(folder, PEERS[job_name]))
            module = "benchmarks.support.answers"
            arguments = [argument.format(**numbers) for argument in job.arguments]
            command = [sys.executable, "-m", module, job_name, str(draws), *arguments]
            _, told = in_process(command, folder, folder / f"cache_{job_name}_warm")
            row = {"about": job.about.format(**numbers), **json.loads(told)}
            row |= {"cold_s": _median(cold), "cached_s": _median(cached)}
            if peer:
                whole, warm = np.median(np.array(peer), axis=0).tolist()
                row |= {"peer": PEERS[job_name], "peer_s": whole, "peer_warm_s": warm}
                row |= {"ratio_cold": whole / row["cold_s"], "ratio_warm": warm / row["warm_s"]}
                row["as_good"] = same_answers(folder, work, job_name)
            rows[job_name] = row
    many, plain = rows.get("fit_many", {}), rows.get("optimize_plain", {})
    totals = ("cold_s", "cached_s", "warm_s", "programs")
    return {
        "languages": work.languages,
        "runs": work.runs,
        "draws": draws,
        "repeats": repeats,
        "seed": work.seed,
        **{key: {name: row[key] for name, row in rows.items()} for key in totals},
        "ratio_minpack_cold": many.get("ratio_cold"),
        "ratio_minpack_warm": many.get("ratio_warm"),
        "ratio_slsqp_cold": plain.get("ratio_cold"),
        "ratio_slsqp_warm": plain.get("ratio_warm"),
        "jobs": rows,
        "machine": machine(device_name()),
    }


def timed_peer(folder: Path, peer: str) -> tuple[float, float]:
    """Seconds of a peer's whole process, and of its solving alone."""
    module = ["-m", "benchmarks.support.rivals", peer, f"{peer}.npz", f"{peer}.npy"]
    seconds, told = in_process([sys.executable, *module], folder)
    return seconds, float(told)


def _median(seconds: list[float]) -> float:
    return float(np.median(seconds))


def show(result: Mapping[str, Any]) -> None:
    """The same for people."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    title = f"Seconds from the prompt to the answer, on {result['machine']['cores']} cores"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for name in ("question", "cold", "cached", "warm", "programs", "traced", "compiled", "peer"):
        table.add_column(name, justify="left" if name in ("question", "peer") else "right")
    for name, row in result["jobs"].items():
        peer = ""
        if "peer" in row:
            peer = f"{row['peer']} {row['peer_s']:.2f}, warm {row['peer_warm_s']:.2f}"
        cells = (row["cold_s"], row["cached_s"], row["warm_s"])
        table.add_row(
            f"{name}: {row['about']}",
            *(f"{value:.2f}" for value in cells),
            str(row["programs"]),
            f"{row['trace_s']:.2f}",
            f"{row['compile_s']:.2f}",
            peer,
        )
    console.print(table)


def job_names(text: str) -> list[str]:
    """Names with commas between them."""
    names = [part for part in text.split(",") if part]
    for name in names:
        if name not in JOBS:
            raise argparse.ArgumentTypeError(f"unknown job {name!r}; known: {', '.join(JOBS)}")
    return names


def main() -> int:
    jax.config.update("jax_platforms", "cpu")
    parser = new_parser(__doc__)
    parser.add_argument("--languages", type=int, default=300)
    parser.add_argument("--runs", type=int, default=100, help="per language")
    parser.add_argument("--draws", type=int, default=1000, help="of all these languages")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is taken")
    parser.add_argument("--only", type=job_names, help="these jobs: fit,optimize")
    options, as_json = parse(parser)
    sizes = {name: options.pop(name) for name in ("languages", "runs", "seed")}
    work = Work(law="m3", noise=0.005, delta=1e-3, **sizes)
    return print_result(study(work, **options, say=say), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

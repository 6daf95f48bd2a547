"""How fast are many languages fitted to a given quality, by m3jax and by the strongest others?

    python -m benchmarks.speed.batch_fit --languages 300 --runs 100 --json

Made-up languages (known coefficients, noisy runs) are fitted by every tool, all minimising the same
sum of Huber losses. The best objective known of a language is the lowest that any tool found. Each
tool gets as many starts as it needs, and of its other setting (tolerance, iterations) the cheapest
value, until 99% of the languages are within 0.1% of that; the seconds that then takes, everything
warm, are its time to quality. m3jax is timed from run table to result, the others without the
preparation of their arrays.

How far from the floor: one iteration of one `m3` fit to 100 runs takes about 42,000 multiplications
and additions (half of them the 14 x 14 normal matrix, most of the rest its Jacobian), 1,000
exponentials and logarithms and 900 operations of Cholesky's factorisation, on 15 kB of single
precision that stay in the first cache. A core that did 16 of the former a cycle and one of the
latter in 3 would need 1.5 us at 3 GHz, in double precision 3. XLA's code takes 8 and 12 us:
Jacobian and normal matrix are not fused, logarithms are scalar in double, and loops over small
arrays have their overhead. A fit takes 34 iterations in single and 7 in double precision on
average: 0.07 ms of a core at the floor, 0.36 as compiled, and 1.2 to 1.6 as measured in all; the
rest is lanes that wait for slower ones, candidates, and the host's work from run table to result.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.support.fit_tools import (
    CLOSE,
    ENOUGH,
    AllAtOnce,
    Ladder,
    OneByOne,
    Tool,
    absent,
    best_known,
    climb_all,
    run_tool,
)
from benchmarks.support.measure import Fresh, cores, device_name, machine
from benchmarks.support.peers import PEERS, Pool
from benchmarks.support.peers_jax import BATCH_PEERS
from benchmarks.support.script import Say, new_parser, parse, print_result, say, whole_numbers
from benchmarks.support.work import Work, add_work_options, peer_problem, take_work

RATIOS = ("scipy_least_squares", "scipy_huber", "plain_vmap")  # also at the top level


def study(
    work: Work,
    *,
    device: str,
    peers: Sequence[str],
    peer_languages: int,
    max_starts: int,
    reference_starts: int,
    scaling: Sequence[int],
    say: Say,
) -> dict[str, Any]:
    """Everything that `main` prints, as one JSON document."""
    problem = peer_problem(work)
    order = np.random.default_rng(work.seed).permutation(work.languages)
    peer_rows = np.sort(order[:peer_languages])
    reasons = {name: why for name in peers if (why := absent(name, work.law))}
    with contextlib.ExitStack() as stack:
        fresh = stack.enter_context(Fresh(device))
        reference = Ladder(AllAtOnce("m3jax", work, fresh), max_starts)
        ladders = {"m3jax": reference}
        pools: dict[int, Pool] = {}
        for name in peers:
            if name in reasons:
                continue
            tool: Tool
            most = max_starts
            if name in PEERS:
                most = max_starts if PEERS[name].takes_starts else 1
                workers = 1 if PEERS[name].own_processes else cores()
                if workers not in pools:
                    pools[workers] = Pool([problem.residuals(i) for i in peer_rows], workers)
                    stack.callback(pools[workers].close)
                tool = OneByOne(name, work, peer_rows, pools[workers])
            else:
                tool = AllAtOnce(name, work, stack.enter_context(Fresh(device)))
            ladders[name] = Ladder(tool, most)
        reference.climb()
        say(f"m3jax: {reference_starts} starts, for the best objectives known")
        reference.outcomes.append(reference.tool.run(reference_starts, 0))
        reasons |= climb_all(ladders, work.languages, say)

        best = best_known(ladders.values(), work.languages)
        rows: dict[str, dict[str, Any]] = {}
        for name, ladder in ladders.items():
            if name not in reasons:
                say(f"{name}: timed")
                rows[name] = ladder.report(best, work.languages)
        m3jax_row = rows.pop("m3jax")
        measured_on = machine(fresh.call(device_name))

    for name, row in rows.items():
        rows[name] = {"available": True, "ratio": row["seconds"] / m3jax_row["seconds"], **row}
    unavailable = {name: {"available": False, "reason": why} for name, why in reasons.items()}
    ratios = {f"ratio_{name}": rows.get(name, {}).get("ratio") for name in RATIOS}
    return {
        "law": work.law,
        "languages": work.languages,
        "runs": work.runs,
        "noise": work.noise,
        "huber_delta": work.delta,
        "seed": work.seed,
        "device": device,
        **m3jax_row,
        **ratios,
        "peers": {name: (rows | unavailable)[name] for name in peers},
        "scaling": [scaled(work, size, m3jax_row["starts"], device, say) for size in scaling],
        "machine": measured_on,
    }


def scaled(work: Work, languages: int, starts: int, device: str, say: Say) -> dict[str, Any]:
    """m3jax on another number of languages, in a process of its own."""
    say(f"m3jax: {languages} languages")
    with Fresh(device) as fresh:
        timed = fresh.call(
            run_tool, "m3jax", dataclasses.replace(work, languages=languages), starts, 0
        )
    return {
        "languages": languages,
        "starts": starts,
        "seconds": timed.seconds,
        "compile_s": timed.compile_s,
        "fits_per_second": languages / timed.seconds,
        "peak_memory_mb": timed.peak_memory_mb,
        "device_memory_mb": timed.device_memory_mb,
    }


def show(result: Mapping[str, Any]) -> None:
    """The same for people."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    title = (
        f"{result['languages']} languages × {result['runs']} runs, law {result['law']}, on"
        f" {result['machine']['cores']} cores, {result['machine']['device']}: seconds until"
        f" {ENOUGH:.0%} of languages are within {CLOSE:.1%} of the best fit known"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for name in ("tool", "seconds", "× m3jax", "compile", "starts", "setting", "share", "MiB"):
        table.add_column(name, justify="left" if name == "tool" else "right")
    for name, row in {"m3jax": {**result, "ratio": 1.0}, **result["peers"]}.items():
        if not row.get("available", True):
            console.print(f"{name}: {row['reason']}")
            continue
        setting = ", ".join(f"{name} {value:g}" for name, value in row["effort"].items())
        table.add_row(
            name,
            f"{row['seconds']:.3g}",
            f"{row['ratio']:.3g}",
            "" if row["compile_s"] is None else f"{row['compile_s']:.3g}",
            str(row["starts"]),
            setting,
            f"{row['within_share']:.1%}" + ("" if row["reached_quality"] else " (too few)"),
            "" if row["peak_memory_mb"] is None else f"{row['peak_memory_mb']:.0f}",
        )
    console.print(table)
    for size in result["scaling"]:
        console.print(
            f"m3jax, {size['languages']} languages: {size['seconds']:.3g} s,"
            f" {size['fits_per_second']:.4g} a second, {size['peak_memory_mb']:.0f} MiB"
        )


def peer_names(text: str) -> list[str]:
    """`all`, `none` or names with commas between them."""
    known = [*PEERS, *BATCH_PEERS]
    names = {"all": known, "none": []}.get(text, [part for part in text.split(",") if part])
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown peer {name!r}; known: {', '.join(known)}")
    return names


def main() -> int:
    parser = new_parser(__doc__)
    add_work_options(parser)
    parser.add_argument("--peers", type=peer_names, default="all", help="names, all or none")
    parser.add_argument(
        "--peer-languages", type=int, default=24, help="that peers fitting one by one are timed on"
    )
    parser.add_argument("--max-starts", type=int, default=64, help="per language, at most")
    parser.add_argument(
        "--reference-starts", type=int, default=64, help="of m3jax, for the best objectives known"
    )
    parser.add_argument("--scaling", type=whole_numbers, default=[], help="languages: 10,100,1000")
    options, as_json = parse(parser)
    work = take_work(options)
    return print_result(study(work, **options, say=say), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

"""How fast pilots train: model FLOP utilisation, and what training many models together gains.

    python -m benchmarks.speed.pilot --widths 32,64 --ways 1x1,4x1,1x2

Each way is E x W: ensembles of E models, each one program, W programs at a time; the first way is
what the others are compared with, one model at a time. All train as many steps on made-up text.
FLOP are 6·N·D, the attention scores left out, so that utilisation is on the low side. The device's
peak is an option; without it, that of a large product of matrices is measured.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.support.measure import device_name, machine
from benchmarks.support.script import new_parser, pairs, parse, print_result, whole_numbers
from m3jax.pilot import Shape, Training, flop_per_second, precision_for, shapes

RUN_TOKENS = 2**20  # of the run that "runs an hour" counts


def matrix_peak(precision: str, size: int) -> float:
    """FLOP a second of a product of two square matrices, the best of five."""
    a = jnp.ones((size, size), dtype=precision)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        product(a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def study(
    sizes: list[Shape],
    ways: list[tuple[int, int]],
    *,
    precision: str,
    batch: int,
    steps: int,
    rounds: int,
    peak: float | None,
) -> dict[str, Any]:
    """Speeds by model and ensemble size; all ways in turn in each round, their medians."""
    precision = precision_for(precision)
    training = Training()
    measured = peak is None
    if peak is None:
        peak = matrix_peak(precision, 2048 if jax.default_backend() == "cpu" else 8192)
    rows = []
    for shape in sizes:
        speeds: dict[tuple[int, int], list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for (ensemble, workers), measurements in speeds.items():
                measurements.append(
                    flop_per_second(
                        shape,
                        training,
                        precision,
                        batch=batch,
                        ensemble=ensemble,
                        workers=workers,
                        steps=steps,
                    )
                )
        medians = {way: statistics.median(measurements) for way, measurements in speeds.items()}
        for (ensemble, workers), speed in medians.items():
            rows.append(
                {
                    "n_params": shape.n_params,
                    "layers": shape.layers,
                    "width": shape.width,
                    "ensemble": ensemble,
                    "workers": workers,
                    "flop_per_second": speed,
                    "tokens_per_second": speed / (6 * shape.n_params),
                    "runs_per_hour": 3600 * speed / (6 * shape.n_params * RUN_TOKENS),
                    "utilisation": speed / peak,
                    "gain": speed / medians[ways[0]],
                }
            )
    return {
        "precision": precision,
        "batch": batch,
        "length": training.length,
        "steps": steps,
        "rounds": rounds,
        "peak_flop_per_second": peak,
        "peak_measured": measured,
        "run_tokens": RUN_TOKENS,
        "rows": rows,
        "machine": machine(device_name()),
    }


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['precision']}, peak {result['peak_flop_per_second']:.3g} FLOP/s")
    for name in (
        "parameters",
        "models",
        "programs",
        "FLOP/s",
        "tokens/s",
        "runs/hour",
        "MFU",
        "gain",
    ):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        table.add_row(
            str(row["n_params"]),
            str(row["ensemble"]),
            str(row["workers"]),
            f"{row['flop_per_second']:.3g}",
            f"{row['tokens_per_second']:.3g}",
            f"{row['runs_per_hour']:.3g}",
            f"{row['utilisation']:.1%}",
            f"{row['gain']:.2f}",
        )
    Console().print(table)


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--widths", type=whole_numbers, default=[32, 64], help="32,64")
    parser.add_argument(
        "--ways", type=pairs, default=[(1, 1), (4, 1), (1, 2)], help="models x programs: 1x1,4x1"
    )
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or auto")
    parser.add_argument("--batch", type=int, default=8, help="windows of 128 bytes a step")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", type=float, help="FLOP/s of the device; measured without")
    options, as_json = parse(parser, seed=False)
    sizes = []
    for width in options.pop("widths"):
        fitting = [shape for shape in shapes(256) if shape.width == width]
        if not fitting:
            parser.error(f"no model of width {width}")
        sizes.append(fitting[0])
    return print_result(study(sizes, options.pop("ways"), **options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

"""What `time_to_answer` asks of m3jax: the commands, and the same as calls within a process.

    python -m benchmarks.support.answers NAME FOLDER

makes a call twice and prints, as JSON, the seconds of the second and what the first compiled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.toml"
QUESTION = ("-c", "1e12", "-t", "65536")
PEER_FIT = ("--prior", "none", "--huber-delta", "0.001", "--starts", "1", "--tolerance", "1e-5")
PEER_LIMITS = (
    *("-c", "1e20", "-t", "1e8", "--n-params", "1e7,1e12", "--epochs", "1,64"),
    *("--target-ratio", "0.05,1", "--final-ratio", "0.05,1"),
    *("--stage-fraction", "0.1,0.6", "--first-share", "0"),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """A question, as arguments of the command line; files are in the working folder.

    Attributes:
        arguments: of `m3jax`; empty where it is only a call.
        about: what it answers.
        times: repetitions are divided by this.
    """

    arguments: tuple[str, ...]
    about: str
    times: int = 1


JOBS = {
    "fit": Job(("fit", "few.csv", "--draws", "0", "-o", "best.json"), "4 languages"),
    "fit_draws": Job(
        ("fit", "few.csv", "--draws", "200", "-o", "drawn.json"), "4 languages, 200 draws"
    ),
    "fit_many": Job(
        ("fit", "many.csv", *PEER_FIT, "--draws", "0", "-o", "many.json"),
        "{languages} languages × {runs} runs, as MINPACK fits them",
    ),
    "fit_many_draws": Job(
        ("fit", "many.csv", "--draws", "{draws}", "-o", "many_drawn.json"),
        "{languages} languages × {draws} draws",
        times=3,
    ),
    "optimize": Job(("optimize", "fits.json", *QUESTION), "4 languages, with intervals"),
    "optimize_plain": Job(
        ("optimize", "known.json", *PEER_LIMITS, "--draws", "0"), "4 recipes, as SLSQP finds them"
    ),
    "constraint": Job((), "4 languages, a constraint of the user's, no intervals"),
    "predict": Job(
        (
            *("predict", "fits.json", "--n-params", "20000", "--target-tokens", "65536"),
            *("--epochs", "4", "--target-ratio", "0.3"),
        ),
        "4 languages",
    ),
    "compare": Job(("compare", "few.csv", "--laws", "all"), "all laws"),
    "map": Job(
        ("map", "fits.json", "-c", "1e11,1e13", "-t", "16384,1M", "-o", "map"), "4 languages"
    ),
    "next": Job(("next", "fits.json", "--budget", "1e13", "-c", "2e12", "-t", "65536"), "4 sheets"),
    "quickstart": Job(("run", str(QUICKSTART), "-o", "quickstart", "--overwrite"), "the whole"),
}


def call_of(name: str, arguments: list[str]) -> Callable[[], Any]:
    """The same within a process."""
    if name != "constraint":
        from m3jax.cli import main

        def command() -> None:
            sys.argv = ["m3jax", *arguments]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
                main()

        return command

    import jax.numpy as jnp

    import m3jax

    fits = m3jax.Fits.load("fits.json")

    def at_most_four(recipe: Any) -> Any:
        return jnp.log(recipe.epochs / 4.0)

    return lambda: m3jax.optimize(
        fits, compute=[1e12], target_tokens=[65536.0], constraints=at_most_four, draws=0
    )


def main() -> int:
    name, *arguments = sys.argv[1:]
    import jax

    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()

    def count(event: str, duration: float, **_: Any) -> None:
        seconds[event] += duration
        counts[event] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    call = call_of(name, arguments)
    marks = [time.perf_counter()]
    call()
    compiled = "/jax/core/compile/backend_compile_duration"
    told = {
        "programs": counts[compiled],
        "compile_s": seconds[compiled],
        "trace_s": seconds["/jax/core/compile/jaxpr_trace_duration"]
        + seconds["/jax/core/compile/jaxpr_to_mlir_module_duration"],
    }
    for _ in range(2):
        marks.append(time.perf_counter())
        call()
    marks.append(time.perf_counter())
    told |= {"first_s": marks[1] - marks[0], "warm_s": marks[3] - marks[2]}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What `time_to_answer` asks of m3jax: the commands, and the same as calls within a process.

    python -m benchmarks.support.answers NAME DRAWS [ARGUMENTS]

makes a call three times and prints, as JSON, the seconds of the last and what the first compiled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.toml"
QUESTION = ("-c", "1e12", "-t", "65536")
PLAN = ("-c", "1e21", "-t", "2B", "--source-tokens", "1T")
PEER_LIMITS = (
    *("-c", "1e20", "-t", "1e8", "--n-params", "1e7,1e12", "--epochs", "1,64"),
    *("--target-ratio", "0.05,1", "--final-ratio", "0.05,1"),
    *("--stage-fraction", "0.1,0.6", "--first-share", "0"),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """A question, as arguments of the command line; files are in the working folder.

    Attributes:
        about: what it answers.
        arguments: of `m3jax`, where it is a command.
        code: of a Python process, where it is none: a function `answer`.
        times: repetitions are divided by this.
    """

    about: str
    arguments: tuple[str, ...] = ()
    code: str = ""
    times: int = 1

    def command(self, numbers: Mapping[str, int]) -> list[str]:
        """The whole process."""
        if self.code:
            code = self.code.replace("DRAWS", str(numbers["draws"]))
            return [sys.executable, "-c", f"{code}\nanswer()"]
        arguments = [argument.format(**numbers) for argument in self.arguments]
        return [sys.executable, "-c", "from m3jax.cli import main; main()", *arguments]


FIT_MANY = """
import numpy, m3jax
def answer():
    fits = m3jax.fit(
        m3jax.RunTable.read("many.csv"),
        prior="none", huber_delta=1e-3, starts=1, draws=0, tolerance=1e-5,
    )
    numpy.savez("many.npz", languages=fits.languages, theta=fits.theta)
"""

FIT_MANY_DRAWS = """
import m3jax
def answer():
    m3jax.fit(m3jax.RunTable.read("many.csv"), draws=DRAWS)
"""

CONSTRAINT = """
import jax.numpy as jnp, m3jax
fits = m3jax.Fits.load("fits.json")
def at_most_four(recipe):
    return jnp.log(recipe.epochs / 4)
def answer():
    m3jax.optimize(
        fits, compute=[1e12], target_tokens=[65536.0], constraints=at_most_four, draws=0
    )
"""

JOBS = {
    "fit": Job("4 languages", ("fit", "few.csv", "--draws", "0", "-o", "best.json")),
    "fit_draws": Job(
        "4 languages, 200 draws", ("fit", "few.csv", "--draws", "200", "-o", "drawn.json")
    ),
    "fit_many": Job("{languages} languages × {runs} runs, best fits in Python", code=FIT_MANY),
    "fit_many_draws": Job(
        "{languages} languages × {draws} draws in Python", code=FIT_MANY_DRAWS, times=3
    ),
    "optimize": Job("4 languages, with intervals", ("optimize", "fits.json", *QUESTION)),
    "optimize_plain": Job(
        "4 recipes without intervals", ("optimize", "known.json", *PEER_LIMITS, "--draws", "0")
    ),
    "constraint": Job("4 recipes under a function of the user's", code=CONSTRAINT),
    "predict": Job(
        "4 languages",
        (
            *("predict", "fits.json", "--n-params", "20000", "--target-tokens", "65536"),
            *("--epochs", "4", "--target-ratio", "0.3"),
        ),
    ),
    "compare": Job("all laws", ("compare", "few.csv", "--laws", "all")),
    "map": Job(
        "4 languages", ("map", "fits.json", "-c", "1e11,1e13", "-t", "16384,1M", "-o", "map")
    ),
    "next": Job("4 sheets", ("next", "fits.json", "--budget", "1e13", "-c", "2e12", "-t", "65536")),
    "plan": Job("without runs", ("plan", *PLAN)),
    "design": Job("without runs, 12 runs", ("design", *PLAN)),
    "quickstart": Job("the whole", ("run", str(QUICKSTART), "-o", "quickstart", "--overwrite")),
}


def call_of(job: Job, arguments: list[str]) -> Callable[[], Any]:
    """The same within a process."""
    if job.code:
        defined: dict[str, Any] = {}
        exec(job.code, defined)
        return defined["answer"]
    from m3jax.cli import main

    def command() -> None:
        sys.argv = ["m3jax", *arguments]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main()

    return command


def main() -> int:
    name, draws, *arguments = sys.argv[1:]
    code = JOBS[name].code.replace("DRAWS", draws)
    import jax

    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()

    def count(event: str, duration: float, **_: Any) -> None:
        seconds[event] += duration
        counts[event] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    call = call_of(dataclasses.replace(JOBS[name], code=code), arguments)
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

"""What every command says of tables with a few runs only.

    python -m benchmarks.studies.few_runs --json

The first 1, 2, 3, 5, ... runs of one language or of four, every law: `fit`, then `diagnose`,
`predict`, `optimize` and `next`, and `compare`. A command may give an answer (exit 0) or one line
on standard error (exit 2); never a traceback, a warning or a number that is not finite.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.support.script import new_parser, parse, print_result, say, whole_numbers
from m3jax.cli import main as m3jax
from m3jax.laws import list_laws

COMMANDS = ("fit", "diagnose", "predict", "optimize", "next", "compare")
SIZES = (1, 2, 3, 5, 8, 10, 12, 13)
_RECIPE = ("--n-params", "100K", "--target-tokens", "50K", "--epochs", "4", "--target-ratio", "0.5")
LANGUAGES = ("Indonesian", "Japanese", "Third", "Fourth")


def few_runs(table: pd.DataFrame, languages: int, runs: int) -> pd.DataFrame:
    """The first `runs` of each of 1 to 4 languages; beyond two, later runs under other names."""
    names = list(dict.fromkeys(table["language"]))
    parts = []
    for i, name in enumerate(LANGUAGES[:languages]):
        own = table[table["language"] == names[i % len(names)]]
        parts.append(own.iloc[(i // len(names)) * runs :].head(runs).assign(language=name))
    return pd.concat(parts)


def fault(command: Sequence[str]) -> tuple[int, str]:
    """Exit code of a command and what is wrong with how it ended, empty for nothing."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["m3jax", *command]
    code: Any = 0
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            warnings.simplefilter("error")
            m3jax()
    except SystemExit as end:
        code = end.code or 0
    except Exception as error:
        return 1, f"{type(error).__name__}: {error}"
    finally:
        sys.argv = argv
    text = err.getvalue()
    if code == 2:
        return 2, "" if text.count("\n") == 1 else f"not one line: {text[:300]}"
    if code != 0:
        return int(code), text[:300]
    try:
        json.loads(out.getvalue(), parse_constant=_refuse)
    except ValueError as error:
        return 0, f"JSON: {error}"
    return 0, ""


def _refuse(name: str) -> None:
    raise ValueError(f"{name} in the result")


def commands(folder: Path, law: str) -> Iterator[tuple[str, list[str]]]:
    """Each command's name and arguments, for a table `runs.csv` in this folder."""
    runs, fits = (str(folder / name) for name in ("runs.csv", "fits.json"))
    few = ["--starts", "2", "--draws", "20", "--json"]
    yield "fit", ["fit", runs, "--law", law, *few, "-o", fits]
    if Path(fits).exists():
        yield "diagnose", ["diagnose", fits, runs, "--json"]
        yield "predict", ["predict", fits, *_RECIPE, "--json"]
        yield "optimize", ["optimize", fits, "-c", "1e14", "-t", "1M", "--json"]
        yield "next", ["next", fits, "--budget", "1e14", "--json"]
    yield "compare", ["compare", runs, "--laws", law, "--starts", "2", "--json"]


def study(
    laws: Sequence[str], sizes: Sequence[int], languages: Sequence[int], chosen: Sequence[str]
) -> dict[str, Any]:
    """Everything that `main` prints."""
    with resources.files("m3jax.data").joinpath("tiny_two_stage.csv").open() as file:
        table = pd.read_csv(file)
    rows = []
    for law in laws:
        for count in languages:
            for size in sizes:
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    few_runs(table, count, size).to_csv(folder / "runs.csv", index=False)
                    ends = {
                        command: fault(arguments)
                        for command, arguments in commands(folder, law)
                        if command in chosen
                    }
                codes = {command: code for command, (code, _) in ends.items()}
                faults = {command: words for command, (_, words) in ends.items() if words}
                rows.append(
                    {"law": law, "languages": count, "runs": size, "exit": codes, "faults": faults}
                )
                say(f"{law}, {count} x {size}: {codes} {faults or ''}")
        jax.clear_caches()  # compiled code holds memory maps, of which a process has a limit
    return {"cases": rows, "faulty": int(np.sum([bool(row["faults"]) for row in rows]))}


def show(result: dict[str, Any]) -> None:
    """The same for people: exit codes, law by languages × runs."""
    for row in result["cases"]:
        codes = " ".join(f"{command} {code}" for command, code in row["exit"].items())
        print(f"{row['law']:20} {row['languages']} x {row['runs']:2}  {codes}")
        for command, words in row["faults"].items():
            print(f"    {command}: {words}")
    print(f"{result['faulty']} of {len(result['cases'])} at fault")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--laws", nargs="+", default=list(list_laws()))
    parser.add_argument("--sizes", type=whole_numbers, default=list(SIZES))
    parser.add_argument("--languages", type=whole_numbers, default=[1, 4])
    parser.add_argument("--commands", dest="chosen", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--tiny", action="store_true", help="one law and two sizes")
    options, as_json = parse(parser, seed=False)
    if options.pop("tiny"):
        options |= {"laws": ["chinchilla"], "sizes": [1, 3], "languages": [1]}
    return print_result(study(**options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())

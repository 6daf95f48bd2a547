"""What the commands of the command line share: argument types, and what is around a command."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import M3Error
from .._progress import Progress, is_quiet
from ..formatting import UNSEEN
from ._streams import is_unicode, write_line

if TYPE_CHECKING:
    from ..fitting import Fits
    from ..runs import RunTable

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")
]
Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="Run table: .csv, .tsv, .json, .jsonl, .parquet or .xlsx, perhaps .gz; a tracker's"
        " folder, database or log; wandb:entity/project; - for standard input.",
    ),
]
FitFile = Annotated[
    Path, typer.Argument(metavar="FITS", help="Fit file written by `m3jax fit -o`.")
]
Language = Annotated[
    list[str] | None,
    typer.Option("--language", "-l", help="Only this language; may be given again."),
]


SheetFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the run sheet to this .csv or .json file."),
]


def use_cache() -> None:
    """Keep compiled code between calls; JAX would say for each function that it cannot."""
    from ..computing import keep_compiled

    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    keep_compiled()


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error, for people only."""
    if quiet or is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


# Control characters that JSON allows to stand for themselves, and terminals obey.
_ESCAPED = {code: f"\\u{code:04x}" for code in UNSEEN if code >= 127}


def print_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=not is_unicode(), allow_nan=False)
    write_line(text.translate(_ESCAPED))


def read_table(table: Path, typed: Mapping[str, Any]) -> RunTable:
    """The run table, read as the options that were typed say."""
    from ..runs import RunTable

    return RunTable.read(table, **typed)


def read_table_of(fits: Fits, table: Path, typed: Mapping[str, Any]) -> RunTable:
    """The run table of a fit: what is not typed is as the fit was made."""
    kept = {k: v for k, v in fits.settings.get("reading", {}).items() if k not in typed}
    try:
        return read_table(table, {**kept, **typed})
    except M3Error as error:
        if not kept:
            raise
        raise M3Error(
            f"{error} ({', '.join(kept)} are those of the fit; flags given here come first)"
        ) from error

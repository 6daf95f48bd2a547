"""`m3jax optimize --export`: its options, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import M3Error

if TYPE_CHECKING:
    from ..stages import Batch

Export = Annotated[
    str | None,
    typer.Option(
        "--export",
        help="Write the plan as json, csv, megatron, huggingface, mosaic or torchtitan.",
        metavar="FORMAT",
    ),
]
ExportTo = Annotated[Path, typer.Option("--export-to", help="Folder for the files of --export.")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", help="Sequences a step: plans are then in whole steps."),
]
SequenceLength = Annotated[
    int | None, typer.Option("--sequence-length", help="Tokens a sequence, with --batch-size.")
]
TargetData = Annotated[
    str, typer.Option("--target-data", help="What the trainer calls the target corpus.")
]
SourceData = Annotated[
    str, typer.Option("--source-data", help="What the trainer calls the source corpus.")
]


def check_export(form: str | None, size: int | None, sequence_length: int | None) -> Batch | None:
    """The batch, None if there is none; raises `M3Error` on what cannot be exported."""
    from ..export import check_format
    from ..stages import Batch

    if (size is None) != (sequence_length is None):
        raise M3Error("--batch-size and --sequence-length: expected both or neither")
    batch = None if size is None or sequence_length is None else Batch(size, sequence_length)
    if form is not None:
        check_format(form, batch)
    return batch

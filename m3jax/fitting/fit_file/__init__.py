"""Fit files: two files that belong together, and everything in them checked when read."""

from ._arrays import check_size
from ._content import check_content, law_of
from ._pair import (
    as_written,
    check_places,
    file_identity,
    read_arrays,
    read_content,
    signed,
    write_pair,
)

__all__ = [
    "as_written",
    "check_content",
    "check_places",
    "check_size",
    "file_identity",
    "law_of",
    "read_arrays",
    "read_content",
    "signed",
    "write_pair",
]

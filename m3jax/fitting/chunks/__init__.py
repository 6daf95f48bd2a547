"""Fits in chunks that survive their process, on one host or many."""

from ._connect import connect, share_of
from ._fit_in_chunks import default_chunk, fit_in_chunks

__all__ = [
    "connect",
    "default_chunk",
    "fit_in_chunks",
    "share_of",
]

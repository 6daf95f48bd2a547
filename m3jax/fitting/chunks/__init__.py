"""Fits in chunks that survive their process, on one host or many."""

from ._distributed import connect, default_chunk, fit_in_chunks, share_of

__all__ = [
    "connect",
    "default_chunk",
    "fit_in_chunks",
    "share_of",
]

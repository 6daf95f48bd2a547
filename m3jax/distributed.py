"""Fits on many hosts, under the name they were first published by; see `fitting.chunks`."""

from .fitting.chunks import connect, fit_in_chunks

__all__ = ["connect", "fit_in_chunks"]

"""A result as arrays with names, which need a package of their own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors import M3Error


def require_xarray() -> Any:
    """The package xarray. Raises `M3Error` without it."""
    try:
        return import_module("xarray")
    except ImportError as error:
        raise M3Error("to_xarray needs xarray: pip install 'm3jax[xarray]'") from error

"""The command line, `m3jax COMMAND`."""

from ._app import app, main

__all__ = ["app", "main"]

"""The command line, `m3jax COMMAND`."""

from ._app import app, main
from ._derived import with_options

__all__ = ["app", "main", "with_options"]

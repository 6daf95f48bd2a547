"""The command line, `m3jax COMMAND`."""

import sys

from ._interrupts import INTERRUPTED

try:  # Ctrl-C may come before there is anyone to take it
    from ._app import app, main
    from ._derived import with_options
except KeyboardInterrupt:
    print("m3jax: error: interrupted", file=sys.stderr)
    sys.exit(INTERRUPTED)

__all__ = ["app", "main", "with_options"]

"""`python -m m3jax.cli`."""

from . import main

main()

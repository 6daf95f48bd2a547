"""`python -m m3jax`."""

from .cli import main

if __name__ == "__main__":
    main()

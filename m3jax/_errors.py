"""The one exception of m3jax: bad input, told in a sentence a user can act on."""


class M3Error(ValueError):
    """Bad input: names the file, row, column or language, and what was expected."""

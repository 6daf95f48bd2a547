"""m3jax's weak prior as one that is stated, so that few runs may be fitted under it."""

from __future__ import annotations

from m3jax.fitting import Prior
from m3jax.laws import Law, LogSpaceLaw

TERM_SHARES = (0.02, 0.6)  # of the loss in the middle of the runs: one-sigma range of a term


def weak_prior(law: Law) -> Prior:
    """The one-sigma ranges of the weak prior, as if a user had stated them."""
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    return Prior({c.name: TERM_SHARES if c.name in terms else c.start for c in law.coefficients})

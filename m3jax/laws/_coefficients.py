"""Coefficients that several laws have in common, so that they mean and start the same in all."""

from __future__ import annotations

from ._base import Coefficient


def amplitude(name: str, needs: tuple[str, ...], meaning: str) -> Coefficient:
    """The size of a term, quoted where its features are one; neutral: no such term.

    A fit starts it from its size in the middle of the runs (see `LogSpaceLaw.centre`).
    """
    return Coefficient(
        name, (1.0, 1e4), (1e-60, 1e60), log=True, neutral=1e-60, needs=needs, meaning=meaning
    )


def exponent(name: str, needs: tuple[str, ...], meaning: str, neutral: float = 0.35) -> Coefficient:
    """The exponent of a power that can only fall with what it is a power of."""
    return Coefficient(name, (0.1, 0.8), (0.0, 3.0), neutral=neutral, needs=needs, meaning=meaning)


def free_exponent(
    name: str, needs: tuple[str, ...], meaning: str, start: tuple[float, float] = (-0.2, 0.2)
) -> Coefficient:
    """An exponent of either sign; neutral: no effect."""
    return Coefficient(name, start, (-3.0, 3.0), needs=needs, meaning=meaning)


def saturation(name: str = "R", needs: tuple[str, ...] = ("epochs",)) -> Coefficient:
    """R of rho(k; R): the epochs over which repetition loses its worth; neutral: it never does."""
    return Coefficient(
        name,
        (2.0, 60.0),
        (1e-2, 1e7),
        log=True,
        neutral=1e7,
        needs=needs,
        meaning="epochs over which repetition saturates",
    )

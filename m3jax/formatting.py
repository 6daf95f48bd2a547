"""How numbers are written for people: on the terminal, in reports, figures and messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from .variables import VARIABLES

MISSING = "–"

# What a name must not do to a terminal or a page: move the cursor, change colours, or turn the
# direction of the text around it. Joiners stay, which some scripts are written with.
UNSEEN = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\n")},
    **{
        code: f"\\u{code:04x}"
        for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
    },
}

_SUFFIXES = ("", "K", "M", "B", "T")


def printable(text: str) -> str:
    """Text from outside as it may be shown: control characters are told and not obeyed."""
    return text.translate(UNSEEN)


def count(x: float | None) -> str:
    """Parameters or tokens to three significant digits: 512, 37.0K, 1.20M, 3.40B."""
    if x is None or not math.isfinite(x):
        return MISSING
    # Round first, so that 999 999 becomes 1.00M and not 1000K.
    rounded = float(f"{x:.3g}")
    if abs(rounded) < 1000:
        return f"{rounded:g}"
    power = min(int(math.log10(abs(rounded)) / 3 + 1e-9), len(_SUFFIXES) - 1)
    scaled = rounded / 1000.0**power
    number = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:#.3g}"
    return number + _SUFFIXES[power]


def flop(x: float | None) -> str:
    """Compute: 2.5e+11."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.3g}"


def ratio(x: float | None) -> str:
    """Ratios and epochs to three significant digits: 0.340, 46.9, 1.00."""
    if x is None or not math.isfinite(x):
        return MISSING
    return f"{x:.0f}" if abs(x) >= 99.95 else f"{x:#.3g}"


LEAST_LOSS = 5e-5  # nats; what is less is written as 0.0000 and is not worth a word


def loss(x: float | None) -> str:
    """Losses and differences of losses, nats per token: 1.7005."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.4f}"


def percent(x: float | None) -> str:
    """Relative errors and noise, to a hundredth of a percent: 0.53%."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.2%}"


def rough_percent(x: float | None) -> str:
    """Scatter and errors in sentences, two digits below 10% and whole above: 1.2%, 12%."""
    if x is None or not math.isfinite(x):
        return MISSING
    return f"{100 * x:.2g}%" if x < 0.1 else f"{100 * x:.0f}%"


def share(x: float | None) -> str:
    """Shares of runs, draws or tokens, in whole percent: 34%."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.0%}"


def level(x: float) -> str:
    """Levels of intervals, with the digits they have: 90%, 99.5%."""
    return f"{100 * x:g}%"


def r_squared(x: float | None) -> str:
    """Shares of variance explained: 0.998."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.3f}"


def write_interval(
    low: float | None, high: float | None, as_text: Callable[[float | None], str]
) -> str:
    """An interval, both ends written by `as_text`: 22.8–64.0."""
    return MISSING if low is None or high is None else f"{as_text(low)}–{as_text(high)}"


_KINDS = {"count": count, "flop": flop, "ratio": ratio, "loss": loss}


def writer(variable: str) -> Callable[[float | None], str]:
    """The function that writes values of a member of `variables.VARIABLES`."""
    return _KINDS[VARIABLES[variable].kind]


def write(variable: str, value: float | None) -> str:
    """A value of a member of `variables.VARIABLES`: `write("n_params", 3.7e4)` is "37.0K"."""
    return writer(variable)(value)


def write_brief(variable: str, value: float) -> str:
    """`write` for sentences, without trailing zeros: `write_brief("epochs", 4.0)` is "4"."""
    return count(value) if VARIABLES[variable].kind == "count" else f"{value:.3g}"


def enumeration(words: Sequence[str]) -> str:
    """Words in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def quantity(number: int, noun: str) -> str:
    """A number of things: "1 run", "3 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def quoted(names: Iterable[str], most: int = 20) -> str:
    """Names in quotes, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest

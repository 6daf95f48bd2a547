"""How numbers may be written by people: one grammar for cells, flags and TOML files.

`115K`, `1.2B`, `2e9`, `2 billion`, `10%`; with other marks `1,234,567` and `3,14`. Nothing heavy is
imported here, for the command line reads its flags by it.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from ._errors import M3Error, setting

# Suffix, without case -> power of ten.
_POWERS = {
    "%": -2, "k": 3, "m": 6, "b": 9, "t": 12,
    "thousand": 3, "million": 6, "billion": 9, "trillion": 12,
}  # fmt: skip
_WORDS = "|".join(sorted(_POWERS, key=len, reverse=True))
# What is typed as one separator of thousands is printed as several.
_ALIKE = {" ": r"[ \u00a0\u2009\u202f]", "'": "['\u2019]"}

DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = (",", ".", " ", "'", "_")


@dataclasses.dataclass(frozen=True)
class Numeral:
    """A number as it was written: its value, and the suffix it had ("" for none, else lower)."""

    value: float
    suffix: str = ""


@dataclasses.dataclass(frozen=True)
class Notation:
    """The marks that numbers are written with.

    Attributes:
        decimal: before the fraction.
        thousands: between groups of three digits; "" where there is none.

    Raises `M3Error` where the two are one.
    """

    decimal: str = "."
    thousands: str = ""

    def __post_init__(self) -> None:
        if self.decimal == self.thousands:
            raise M3Error(
                f"decimal: expected another mark than that of thousands, got {self.decimal!r} twice"
            )

    @property
    def expected(self) -> str:
        """What a number is, to end "expected …"."""
        large = f", 1{self.thousands}234{self.thousands}567" if self.thousands else ""
        return f"a number such as 2500, 2{self.decimal}5e3, 1{self.decimal}2B or 10%{large}"

    def read(self, text: str) -> Numeral | None:
        """The number that `text` is, or None."""
        text = text.strip()
        if text.lstrip("+-").casefold() in ("nan", "inf", "infinity"):
            return Numeral(float(text))
        found = _pattern(self.decimal, self.thousands).fullmatch(text)
        if found is None:
            return None
        grouped, plain, suffix = found["grouped"], found["plain"], found["suffix"] or ""
        digits = re.sub(_mark(self.thousands), "", grouped) if grouped else plain
        # Powers of ten go to the exponent: 1.2B is 1.2e9 to the last bit.
        power = int(found["exponent"] or 0) + _POWERS.get(suffix.casefold(), 0)
        value = float(f"{found['sign']}{digits.replace(',', '.')}e{power}")
        return Numeral(value, suffix.casefold())

    def hint(self, text: str) -> str:
        """Which flags would read a text that is no number here, in brackets; "" if none."""
        ways = [
            flags
            for other in _COMMON
            if (flags := other._flags(self)) and other.read(text)
            if not other.thousands or re.search(_mark(other.thousands), text)
        ]
        return f" ({' or '.join(ways[:2])} would read it)" if ways else ""

    def _flags(self, instead: Notation) -> str:
        flags = [setting("decimal", repr(self.decimal))] if self.decimal != instead.decimal else []
        if self.thousands not in ("", instead.thousands):
            flags.append(setting("thousands", repr(self.thousands)))
        return " ".join(flags)


def _mark(mark: str) -> str:
    return _ALIKE.get(mark, re.escape(mark))


@functools.cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point = re.escape(decimal)
    plain = rf"\d+(?:{point}\d*)?|{point}\d+"
    if decimal == "," and thousands != ".":
        # Tables with decimal commas keep points where a program wrote them. 5.96603 and 0.386 can
        # only be fractions; 115.008 might be a hundred thousand, and is not read.
        plain += r"|0*\.\d+|\d+\.(?!\d{3}(?![\deE]))\d*"
    number = rf"(?P<plain>{plain})(?:e(?P<exponent>[+-]?\d{{1,9}}))?"
    # Groups of three from the first digit on that counts, and no exponent: with points between
    # thousands 9.984e-05 is a fraction that a program wrote, and 0.386 is none of ours.
    groups = r"(?!)"
    if thousands:
        groups = rf"[1-9]\d{{0,2}}(?:{_mark(thousands)}\d{{3}})+(?:{point}\d*)?"
    return re.compile(
        rf"(?P<sign>[+-]?)(?:(?P<grouped>{groups})|{number})(?:\s*(?P<suffix>{_WORDS}))?",
        re.IGNORECASE,
    )


# What `hint` tries, the likeliest first.
_COMMON = (
    Notation(".", ","), Notation(",", ""), Notation(".", ""), Notation(",", "."),
    Notation(".", " "), Notation(".", "'"), Notation(".", "_"),
)  # fmt: skip

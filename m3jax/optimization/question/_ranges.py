"""What each language's recipes may be: the user's bounds, within reach of what its runs cover."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ... import formatting
from ..._errors import M3Error, option_name, setting
from ...fitting import Scope
from ...laws import Law
from ...options import Bounds, Limits
from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE
from ...variables import DECISION_VARIABLES
from ..solvers import HELD_WIDTH
from ._reach import REACH, covered_by, distance_from, stepping_stones

# The final stage's share of all tokens where no run had two stages.
_ANY_STAGE = (0.05, 1.0)
_RATIOS = ("target_ratio", "final_ratio", "stage_fraction")
_TOKENS = ("total_tokens", "target_tokens")
_OF_TWO_STAGES = ("final_ratio", "stage_fraction", "first_share", "min_first_ratio")
_LIMIT_OF_RUNS = "the most in the runs"
_OF_SOURCE_TEXT = ("max_source_tokens", *_OF_TWO_STAGES)


@dataclasses.dataclass(frozen=True)
class Range:
    """Where one variable may be.

    Attributes:
        low, high: its ends.
        low_source, high_source: what sets each end, in words; "" for what lies in its nature.
    """

    low: float
    high: float
    low_source: str = ""
    high_source: str = ""

    @property
    def is_held(self) -> bool:
        """Whether the ends are one value."""
        return self.high <= self.low * (1 + HELD_WIDTH)


@dataclasses.dataclass(frozen=True)
class AllowedRanges:
    """What the recipes of one language may be.

    Attributes:
        ranges: by name in `DECISION_VARIABLES`; of `stage_fraction` in two-stage recipes; of
            `total_tokens`; and of `target_tokens`, the distinct ones that are read. An upper end of
            the epochs below 1 is a share of the text at hand; there is no lower one, reading in
            part is always allowed.
        first_share: r_1 / r of two-stage recipes.
        regimes: those on offer, indices into `recipe.REGIMES`.
        messages: what was held, narrowed or has no effect, and why.
    """

    ranges: Mapping[str, Range]
    first_share: float
    regimes: tuple[int, ...]
    messages: tuple[str, ...]


def allowed_ranges(language: str, law: Law, scope: Scope, limits: Limits) -> AllowedRanges:
    """The allowed ranges of one language.

    `limits.extrapolate` says how far beyond the runs every variable may go. Without it model size
    and tokens may go `REACH` times beyond; epochs and ratios stay within the runs where the user
    gives no bounds, and may go as far where there are some; a variable that the runs do not vary is
    held at what was run. What the law does not see is held in any case.

    Raises `M3Error` where that leaves nothing of the user's bounds, or no size of the ladder.
    """
    ground = _Ground(language, law, scope, limits.extrapolate)
    why_one_stage = ground.why_one_stage()
    ranges, messages = {}, []
    for name in (*DECISION_VARIABLES, *_TOKENS, "stage_fraction"):
        typed = _typed(limits, name)
        if why_one_stage and name in _OF_TWO_STAGES:
            typed = None
        ranges[name], told = ground.range_of(name, typed)
        messages += told
    ratio, final = ranges["target_ratio"], ranges["final_ratio"]
    regimes = [MONOLINGUAL] if ratio.high >= 1 - HELD_WIDTH else []
    if ratio.low >= 1 - HELD_WIDTH:
        messages += _no_effect(limits, _OF_SOURCE_TEXT, "no source text is allowed")
    else:
        regimes.append(SINGLE_STAGE)
        if not why_one_stage and final.high <= ratio.low * (1 + HELD_WIDTH):
            why_one_stage = f"no final_ratio above {ratio.low:.3g}, the lowest target_ratio"
        if why_one_stage:
            idle = _flags(limits, _OF_TWO_STAGES)
            effect = f": {_have(idle)} no effect" if idle else ""
            messages.append(f"one stage only: {why_one_stage}{effect}")
        else:
            regimes.append(TWO_STAGE)
    messages += _ladder(ground, limits, ranges["n_params"])
    share = scope.first_share if limits.first_share is None else limits.first_share
    if TWO_STAGE in regimes:
        messages += _first_stage(law, scope, limits, share)
    return AllowedRanges(ranges, share, tuple(regimes), tuple(messages))


@dataclasses.dataclass(frozen=True)
class _Ground:
    """What a language's runs and its law say something about, and how far beyond one may go."""

    language: str
    law: Law
    scope: Scope
    extrapolate: float | None

    @property
    def reach(self) -> float:
        return REACH if self.extrapolate is None else self.extrapolate

    def is_unvaried(self, name: str) -> bool:
        return name not in self.scope.varies and self.extrapolate is None

    def why_one_stage(self) -> str:
        """Why there can be no final stage; "" if there can."""
        for name in ("target_ratio", "final_ratio"):
            if name not in self.law.variables:
                return f"law {self.law.name} does not see {name}"
        if "final_ratio" in self.scope.varies or (self.extrapolate or 1.0) > 1.0:
            return ""
        return "the runs cannot judge a final stage, none has two stages"

    def range_of(self, name: str, typed: Bounds | None) -> tuple[Range, list[str]]:
        """The range of a variable, within bounds that the user gave; and what is to be told."""
        held = self._held(name)
        if held is not None:
            return held, self._held_messages(name, held, typed)
        widest = self._widest(name)
        told = []
        if name == "epochs" and widest.high_source.startswith(_LIMIT_OF_RUNS):
            told.append(f"epochs at most {widest.high:.3g}: {widest.high_source}")
        if typed is None:
            return self._default(name), told
        kept, more = self._within(name, typed, widest)
        return kept, told + more

    def _held(self, name: str) -> Range | None:
        """The one value of a variable that the law or the runs say nothing about."""
        if name not in ("n_params", "target_ratio"):
            return None
        low, high = covered_by(self.scope)[name]
        value = high if name == "target_ratio" else math.sqrt(low * high)
        if name not in self.law.variables:
            why = f"law {self.law.name} does not see it"
        elif self.is_unvaried(name):
            why = "the runs do not vary it"
        else:
            return None
        return Range(value, value, why, why)

    def _widest(self, name: str) -> Range:
        """As far beyond the runs as may be gone."""
        covered = covered_by(self.scope).get(name)
        if covered is None:
            why = "our default where no run has two stages"
            return Range(*_ANY_STAGE, why, why)
        if name == "epochs":
            return self._widest_epochs(covered)
        low, high = covered[0] / self.reach, covered[1] * self.reach
        below, above = (
            (setting("extrapolate", f"{self.reach:g}"),) * 2
            if self.extrapolate is not None
            else (
                f"our default: 1/{REACH:g} of the lowest run; {_any_factor()} lifts it",
                f"our default: {REACH:g}× the highest run; {_any_factor()} lifts it",
            )
        )
        if name == "total_tokens":
            return Range(0.0, high, "", above)
        if name in _RATIOS and high >= 1.0:
            return Range(low, 1.0, below)
        return Range(low, high, below, above)

    def _widest_epochs(self, covered: Bounds) -> Range:
        """Reading once or in part is always allowed; more only as far as it can be judged."""
        most = max(covered[1], 1.0)
        if "epochs" not in self.law.variables:
            why = f"{_LIMIT_OF_RUNS}; law {self.law.name} does not see repetition"
            return Range(0.0, most, "", why)
        if self.is_unvaried("epochs"):
            return Range(0.0, most, "", f"{_LIMIT_OF_RUNS}, which do not vary them")
        if self.extrapolate is not None:
            return Range(0.0, most * self.reach, "", setting("extrapolate", f"{self.reach:g}"))
        above = f"our default: {REACH:g}× the most run; {_any_factor()} lifts it"
        return Range(0.0, most * self.reach, "", above)

    def _default(self, name: str) -> Range:
        """The range where the user gives no bounds."""
        widest = self._widest(name)
        covered = covered_by(self.scope).get(name)
        far = name in ("n_params", *_TOKENS) or self.extrapolate is not None
        if far or covered is None:
            return widest
        flag = f"; {_flag(name)} goes further"
        if name == "epochs":
            most = max(covered[1], 1.0)
            return Range(0.0, most, "", f"{_LIMIT_OF_RUNS}{flag}") if most < widest.high else widest
        lowest, highest = f"the lowest run{flag}", f"the highest run{flag}"
        return Range(*covered, lowest, "" if covered[1] >= 1.0 else highest)

    def _within(self, name: str, typed: Bounds, widest: Range) -> tuple[Range, list[str]]:
        """What of the user's bounds is within reach; raises `M3Error` if nothing is."""
        low, high = typed
        if name == "epochs" and low <= 1.0:
            low = 0.0
        flag = _flag(name)
        kept = Range(
            max(low, widest.low),
            min(high, widest.high),
            flag if low >= widest.low and low > 0 else widest.low_source,
            flag if high <= widest.high else widest.high_source,
        )
        if kept.low > kept.high * (1 + HELD_WIDTH):
            raise self._refused(name, typed)
        told = []
        if high > widest.high * (1 + HELD_WIDTH) and name != "total_tokens":
            at = _write(name, widest.high)
            told.append(f"{name}: {_given(name, typed)} is cut at {at}, {widest.high_source}")
        if low < widest.low * (1 - HELD_WIDTH):
            at = _write(name, widest.low)
            told.append(f"{name}: {_given(name, typed)} begins at {at}, {widest.low_source}")
        return kept, told

    def _held_messages(self, name: str, held: Range, typed: Bounds | None) -> list[str]:
        """That a variable is held and what that makes of bounds; raises `M3Error` if outside."""
        told = f"{name} held at {held.low:.6g}: {held.low_source}"
        if typed is None:
            return [told]
        if not typed[0] * (1 - HELD_WIDTH) <= held.low <= typed[1] * (1 + HELD_WIDTH):
            raise self._refused(name, typed)
        if typed[1] <= typed[0] * (1 + HELD_WIDTH):
            return [told]
        told += f", so {_given(name, typed)} has no other effect"
        if name in self.law.variables:
            factor = max(typed[1] / held.low, held.low / typed[0])
            told += f"; {setting('extrapolate', _rounded_up(factor))} varies it"
        return [told]

    def _refused(self, name: str, typed: Bounds) -> M3Error:
        """Bounds that are out of reach: by how much, which runs would help, and what lifts it."""
        runs = covered_by(self.scope).get(name, _ANY_STAGE)
        nearest = typed[0] if typed[0] > runs[1] else typed[1]
        distance = distance_from(name, nearest, (runs[0], max(runs[1], float(name == "epochs"))))
        what = f"language {self.language!r}: {_given(name, typed)}"
        ends = [_write(name, end) for end in runs]
        span = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        if name not in self.law.variables and name in DECISION_VARIABLES:
            return M3Error(f"{what}: law {self.law.name} does not see {name}; the runs have {span}")
        if distance is None:
            return M3Error(f"{what} leaves out all that the runs tell about, {name} {span}")
        start = runs[1] if distance.side == "above" else runs[0]
        stones = stepping_stones(start, nearest, distance.factor)
        sizes = ", ".join(_write(name, stone) for stone in stones)
        why = "they do not vary it" if self.is_unvaried(name) else f"more than {self.reach:g}×"
        return M3Error(
            f"{what} lies {distance.factor:.3g}× {distance.side} the runs, which have {name}"
            f" {span}: {why}. Train {name} {sizes} first, or pass"
            f" {setting('extrapolate', _rounded_up(distance.factor))}"
        )


def _ladder(ground: _Ground, limits: Limits, sizes: Range) -> list[str]:
    """Which sizes of the ladder are left out; raises `M3Error` if all are."""
    ladder = limits.ladder or ()
    out = [
        size
        for size in ladder
        if not sizes.low * (1 - HELD_WIDTH) <= size <= sizes.high * (1 + HELD_WIDTH)
    ]
    if not out:
        return []
    left_out = ", ".join(formatting.count(size) for size in out)
    low, high = (formatting.count(end) for end in (sizes.low, sizes.high))
    sources = " and ".join(dict.fromkeys(filter(None, (sizes.low_source, sizes.high_source))))
    if sizes.is_held and "n_params" in ground.law.variables:
        sources += f"; {_any_factor()} varies it"
    if len(out) == len(ladder):
        raise M3Error(
            f"language {ground.language!r}: no size of the ladder ({left_out}) lies between {low}"
            f" and {high}, the n_params allowed ({sources})"
        )
    return [f"ladder: {left_out} left out, not between {low} and {high} ({sources})"]


def _first_stage(law: Law, scope: Scope, limits: Limits, share: float) -> list[str]:
    """What is to be told of the ratio before the final stage."""
    told = []
    given = limits.first_share is not None and abs(share - scope.first_share) > 1e-6
    blind = "first_ratio" not in law.variables
    if given and (blind or "first_ratio" not in scope.varies):
        why = f"the runs have {scope.first_share:.3g}"
        why += f", and law {law.name} does not see first_ratio" if blind else ""
        chosen = setting("first_share", f"{share:.3g}")
        told.append(f"{chosen}: its effect on the loss is not judged; {why}")
    if limits.min_first_ratio is not None and share == 0:
        least = setting("min_first_ratio", f"{limits.min_first_ratio:.3g}")
        told.append(
            f"{least} leaves no two-stage recipe: they have no target text before the final stage"
            f" ({setting('first_share', '0')}, given or as in the runs)"
        )
    return told


def _no_effect(limits: Limits, names: Sequence[str], why: str) -> list[str]:
    """That options among these which were given have no effect, and why."""
    flags = _flags(limits, names)
    return [f"{why}: {_have(flags)} no effect"] if flags else []


def _have(flags: Sequence[str]) -> str:
    return f"{formatting.enumeration(flags)} {'has' if len(flags) == 1 else 'have'}"


def _any_factor() -> str:
    return setting("extrapolate", "FACTOR")


def _flags(limits: Limits, names: Sequence[str]) -> list[str]:
    """Those of the options that were given, as the caller names them."""
    return [_flag(name) for name in names if getattr(limits, name) is not None]


_OPTIONS = {"total_tokens": "max_total_tokens"}  # of variables, where they are named otherwise


def _flag(name: str) -> str:
    return option_name(_OPTIONS.get(name, name))


def _typed(limits: Limits, name: str) -> Bounds | None:
    """Bounds of a variable that the user gave."""
    if name == "total_tokens":
        most = limits.max_total_tokens
        return None if most is None else (0.0, most)
    bounds: Bounds | None = None if name in _TOKENS else getattr(limits, name)
    return bounds


def _given(name: str, typed: Bounds) -> str:
    return setting(_OPTIONS.get(name, name), [_write(name, end) for end in typed])


def _write(name: str, value: float) -> str:
    return formatting.write_brief(name, value)


def _rounded_up(factor: float) -> str:
    """A factor to two digits, not less than it is."""
    scale = 10.0 ** (math.floor(math.log10(factor)) - 1)
    return f"{math.ceil(factor / scale - 1e-9) * scale:.6g}"

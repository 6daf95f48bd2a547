"""Which columns of a file are the run table's, and which are nearly so."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

# What other people call a column. Never read under it: it may be something else.
_OTHER_NAMES = {
    "language": ("lang", "langs", "languages", "language_code", "lang_code", "lang_id"),
    "target_ratio": ("target_share", "target_fraction", "mix_ratio", "mixing_ratio"),
    "final_ratio": ("final_share", "final_fraction"),
    "first_ratio": ("first_share", "first_fraction"),
    "run_id": ("run", "run_name", "runid"),
    "seed": ("seeds", "random_seed"),
    "weight": ("weights",),
    "total_tokens": ("tokens", "n_tokens"),
    "compute": ("flops", "flop", "total_flops"),
}  # fmt: skip
_NEAR = 0.85  # of the letters in common: a slip, not another word


def cleaned(name: str) -> str:
    """A header without what cannot be seen: spaces around it, zero-width and other formats."""
    return "".join(c for c in name if unicodedata.category(c) != "Cf").strip()


def plain(name: str) -> str:
    """Without case, and with underscores for what separates words."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", name).casefold()).strip("_")


def written_otherwise(names: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Known name -> the one column that is it but for case, spaces and hyphens."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name not in known and plain(name) in known:
            found.setdefault(plain(name), []).append(name)
    return {name: own[0] for name, own in found.items() if name not in names and len(own) == 1}


def nearly(unused: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Column -> the known name, not in the table, that it may be."""
    candidates = {name: name for name in known}
    for name in list(candidates):
        candidates |= dict.fromkeys(_OTHER_NAMES.get(name, ()), name)
    found = {}
    for own in unused:
        close = difflib.get_close_matches(plain(own), list(candidates), n=1, cutoff=_NEAR)
        if close:
            found[own] = candidates[close[0]]
    return found


_HELD_OUT = re.compile(r"(?:^|_)(?:eval|val|valid|validation|test|heldout|held_out)_(?:.*_)?loss$")


def held_out_loss(unread: Iterable[str]) -> str | None:
    """A column that is not read and whose name says that it is a loss on held-out text."""
    return next((name for name in unread if _HELD_OUT.search(plain(name))), None)


_STEPS = {"step", "_step", "global_step", "relative time (process)", "relative time (wall)"}
_STEPS |= {"wall time", "_timestamp", "_runtime"}


def panel_column(names: Sequence[str]) -> str | None:
    """A column of a chart exported from Weights & Biases, one column a run; None if it is none.

    Those charts have their horizontal axis, and of each run "NAME - METRIC", mostly with the least
    and the highest of what one point stands for.
    """
    axis = {name for name in names if name.casefold() in _STEPS}
    of_runs = [name for name in names if name not in axis]
    if not axis or not of_runs or not all(" - " in name for name in of_runs):
        return None
    return of_runs[0]

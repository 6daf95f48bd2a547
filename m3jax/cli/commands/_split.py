"""The command `m3jax split`: one budget over many languages, each with a model of its own."""

from __future__ import annotations

from typing import Any

from ...options import SplitOptions
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from .._derived import with_options


@with_options(SplitOptions)
def split_command(
    fits: FitFile, language: Language = None, *, options: dict[str, Any], as_json: Json = False
) -> None:
    """Split one compute budget over languages, a model each, for the lowest weighted mean loss.

    Example: m3jax split fits.json -c 1e21 -t Indonesian=30M,Japanese=100M --weights Indonesian=2
    """
    from ...fitting import Fits
    from ...optimization import split_budget

    loaded = Fits.load(fits)
    use_cache()
    with progress_bar(as_json):
        split = split_budget(loaded, languages=language or None, **options)
    if as_json:
        print_json(split.to_dict())
        return
    from ...output import show_split

    show_split(split)

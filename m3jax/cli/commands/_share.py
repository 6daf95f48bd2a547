"""The command `m3jax share`: many target languages in one model."""

from __future__ import annotations

from typing import Any

from ...options import SplitOptions
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from .._derived import with_options

# What a model of many target languages cannot be asked.
_WITHOUT = (
    "ladder",
    "min_first_ratio",
    "max_source_tokens",
    "max_source_epochs",
    "inference_tokens",
    "max_gpu_hours",
    "flops_per_second",
    "max_source_loss",
    "source_fits",
)


@with_options(SplitOptions, but=_WITHOUT)
def share_command(
    fits: FitFile, language: Language = None, *, options: dict[str, Any], as_json: Json = False
) -> None:
    """Find one model's size and each target language's ratio and epochs, for the lowest mean loss.

    Example: m3jax share fits.json -c 1e21 -t 100M --target-ratio 0.01,1 --epochs 0.5,20
    """
    from ...fitting import Fits
    from ...optimization import shared_model

    loaded = Fits.load(fits)
    use_cache()
    with progress_bar(as_json):
        shared = shared_model(loaded, languages=language or None, **options)
    if as_json:
        print_json(shared.to_dict())
        return
    from ...output import show_shared_model

    show_shared_model(shared)

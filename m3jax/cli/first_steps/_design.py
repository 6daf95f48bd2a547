"""The command `m3jax design`: small runs for a language that has none yet."""

from __future__ import annotations

from typing import Any

from ...options import DesignOptions
from .._common import Json, SheetFile, print_json, progress_bar, use_cache
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark
from ._plan import Name


@with_options(DesignOptions, but=("ladder", "objective"))
def design_command(
    *,
    options: dict[str, Any],
    language: Name = "target",
    output: SheetFile = None,
    as_json: Json = False,
) -> None:
    """Propose the small runs to train first, for a language that has none yet.

    Example: m3jax design -c 1e21 -t 2B --source-tokens 1T --share 0.005 -o sheet.csv
    """
    from ...design import check_sheet, design_runs
    from ...output import show_design

    if output is not None:
        check_sheet(output)
        watch(output)
    use_cache()
    with progress_bar(as_json) as progress:
        design = design_runs(language=language, progress=progress, **options)
    if output is not None:
        design.save(output)
    if as_json:
        print_json(design.to_dict())
        return
    show_design(design)
    if output is not None:
        then = f"m3jax fit {output} --prior public"
        remark(f"\nwritten to {output}: train these, fill in `loss`, then {then}")

"""The command `m3jax laws`: the scaling laws there are."""

from __future__ import annotations

from .._common import Json, print_json
from .._streams import say


def laws_command(as_json: Json = False) -> None:
    """List the scaling laws, with formula and source.

    Example: m3jax laws
    """
    from ...laws import get_law, list_laws

    known = [get_law(name) for name in list_laws()]
    if as_json:
        print_json(
            [
                {
                    "name": law.name,
                    "formula": law.formula,
                    "source": law.source,
                    "coefficients": list(law.names),
                    "published": {k: dict(v) for k, v in law.published.items()},
                }
                for law in known
            ]
        )
        return
    for law in known:
        say(f"{law.name}\n  {law.formula}\n  {law.source}\n")

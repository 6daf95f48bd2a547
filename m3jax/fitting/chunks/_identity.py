"""What a fit is of, and how: what must be the same for finished chunks to be used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np

from ..._batching import take_rows
from ..._version import __version__
from ...computing import in_double_precision
from ...runs import RunTable
from .._plan import FitPlan

_INCIDENTAL = ("source", "notes", "reading")  # settings that change no number
_NAMED_LANGUAGES = 3  # in messages
_PROBED_LOSSES = 4


def fit_identity(plan: FitPlan, runs: RunTable) -> dict[str, Any]:
    """What must be the same for two calls to share finished chunks, as JSON."""
    settings = {k: v for k, v in plan.settings.items() if k not in _INCIDENTAL}
    law = plan.law
    return {
        "m3jax_version": __version__,
        "law": law.name,
        "definition": _digest(repr((law.coefficients, law.variables))),
        "padded_runs": int(plan.problem.mask.shape[1]),
        "settings": json.loads(json.dumps(settings, default=str)),
        "runs": _run_digests(plan, runs),
        "losses": _probed_losses(plan),
    }


def chunk_digest(identity: Mapping[str, Any], languages: Collection[str]) -> str:
    """Of the settings, and of the runs of a chunk's languages."""
    shared = {key: identity[key] for key in ("m3jax_version", "law", "definition", "settings")}
    return _digest(json.dumps([shared, [[n, identity["runs"][n]] for n in languages]]))


def _run_digests(plan: FitPlan, runs: RunTable) -> dict[str, str]:
    """The digest of each language's runs, as they were read: logarithms differ between machines."""
    rows: dict[str, list[int]] = {name: [] for name in plan.problem.languages}
    for row, name in enumerate(runs.language.tolist()):
        if name in rows:
            rows[name].append(row)
    columns = [runs.loss, runs.weight, *jax.tree.leaves(runs.recipe)]
    return {
        name: _digest(
            "\n".join(map(str, runs.run_id[own])), *(column[own].tobytes() for column in columns)
        )
        for name, own in rows.items()
    }


def _probed_losses(plan: FitPlan) -> list[float]:
    """What the law predicts somewhere: a law of the user's own may change and keep its name."""
    if not plan.problem.languages:
        return []
    theta = np.mean(plan.law.theta_start(), axis=0)
    with in_double_precision(), jax.default_device(jax.local_devices()[0]):
        first_language = take_rows(plan.problem.recipe, 0)
        losses = np.asarray(plan.law.log_loss_theta(theta, first_language))
    return [float(f"{value:.6g}") for value in np.nan_to_num(losses)[:_PROBED_LOSSES]]


def identity_difference(existing: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """In words, how the identity of an existing folder differs from the expected; else ""."""
    if existing["m3jax_version"] != expected["m3jax_version"]:
        return f"m3jax {existing['m3jax_version']}, not {expected['m3jax_version']}"
    if existing["law"] != expected["law"]:
        return f"law {existing['law']}, not {expected['law']}"
    if existing["definition"] != expected["definition"]:
        return f"other coefficients of law {expected['law']}"
    settings = [
        f"{name} = {before!r}, not {now!r}"
        for name in sorted({*existing["settings"], *expected["settings"]})
        if (before := existing["settings"].get(name)) != (now := expected["settings"].get(name))
    ]
    if settings:
        return ", ".join(settings)
    if list(existing["runs"]) != list(expected["runs"]):
        new, old = (
            {*a["runs"]} - {*b["runs"]} for a, b in ((expected, existing), (existing, expected))
        )
        if not new and not old:
            return "its languages in another order"
        return f"other languages: {_first_names(old)} only there, {_first_names(new)} only here"
    changed = [name for name, runs in expected["runs"].items() if existing["runs"][name] != runs]
    if changed:
        return f"other runs of {_first_names(changed)}"
    if existing["padded_runs"] != expected["padded_runs"]:
        return f"a table padded to {existing['padded_runs']} runs, not {expected['padded_runs']}"
    # The last digit may differ between machines.
    if not np.allclose(existing["losses"], expected["losses"], rtol=2e-5, atol=1e-8):
        return f"another formula of law {expected['law']}"
    return ""


def _first_names(names: Collection[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(map(repr, ordered[:_NAMED_LANGUAGES])) or "none"
    more = len(ordered) - _NAMED_LANGUAGES
    return shown if more <= 0 else f"{shown} and {more} more"


def _digest(*parts: str | bytes) -> str:
    """Short: it tells accidents apart, not attacks."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in parts:
        hashed.update(part.encode() if isinstance(part, str) else part)
    return hashed.hexdigest()

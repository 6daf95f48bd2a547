"""The command `m3jax doctor`: whether this installation works."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata

from ..._version import __version__
from .._common import Json, print_json, use_cache
from .._streams import say

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "pandas", "scipy", "typer", "rich")
_EXTRAS = ("matplotlib", "pyarrow", "openpyxl")
_WRONG = 1  # exit code


def doctor_command(as_json: Json = False) -> None:
    """Check versions, devices and the folder of compiled code, and fit a small table.

    Example: m3jax doctor
    """
    checks = {
        "versions": _versions,
        "extras": _extras,
        "devices": _devices,
        "compiled code": _cache,
        "a fit": _fit,
    }
    found: dict[str, dict[str, object]] = {}
    for name, check in checks.items():
        try:
            found[name] = {"works": True, "found": check()}
        except Exception as error:  # whatever is wrong is what is asked for
            found[name] = {"works": False, "found": f"{type(error).__name__}: {error}"}
    if as_json:
        print_json(found)
    else:
        for name, result in found.items():
            say(f"{'ok   ' if result['works'] else 'WRONG'} {name}: {result['found']}")
    if not all(result["works"] for result in found.values()):
        sys.exit(_WRONG)


def _versions() -> str:
    own = [f"m3jax {__version__}", f"Python {platform.python_version()}"]
    return ", ".join([*own, *(f"{name} {metadata.version(name)}" for name in _PACKAGES)])


def _extras() -> str:
    def version(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"no {name}"

    return ", ".join(map(version, _EXTRAS))


def _devices() -> str:
    import jax

    devices = ", ".join(str(device) for device in jax.devices())
    return f"{jax.default_backend()} ({devices}), {os.cpu_count()} CPU cores"


def _cache() -> str:
    from pathlib import Path

    import jax

    use_cache()
    kept = getattr(jax.config, "jax_compilation_cache_dir", None)
    if kept is None:
        return "not kept: M3JAX_CACHE=off, or the folder cannot be made"
    Path(kept).mkdir(parents=True, exist_ok=True)
    probe = Path(kept) / f".probe-{os.getpid()}"
    probe.write_bytes(b"")
    probe.unlink()
    return str(kept)


def _fit() -> str:
    from importlib import resources

    from ...fitting import fit
    from ...runs import RunTable

    begun = time.perf_counter()
    table = RunTable.read(str(resources.files("m3jax.data").joinpath("pilot_debian.csv")))
    fits = fit(table.for_language("German"), draws=20)
    r2 = float(fits.r2[0])
    if not r2 > 0.9:
        raise ValueError(f"R² {r2:.3f} on the shipped runs, expected more than 0.9")
    return f"R² {r2:.3f} on 80 shipped runs in {time.perf_counter() - begun:.1f} s"

"""What tests in several folders share: where things are, the command line, made-up texts."""

import contextlib
import dataclasses
import gc
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# All workers, and the processes that tests start, share what is compiled: half the time of a whole
# run. The variable may name a folder, to keep it.
if "M3JAX_TEST_CACHE" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="m3jax-tests-")
    os.environ["M3JAX_TEST_CACHE"] = _folder.name
CACHE = Path(os.environ["M3JAX_TEST_CACHE"])
for _name, _value in {
    "jax_compilation_cache_dir": str(CACHE / "m3jax" / "xla"),
    "jax_persistent_cache_min_compile_time_secs": 0.2,
}.items():
    os.environ[_name.upper()] = str(_value)
    jax.config.update(_name, _value)


# Programs that are kept are millions of objects: looking through them again and again for garbage
# took a fifteenth of a whole run.
gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public run tables; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("M3JAX_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "muennighoff" / "fit_182.csv").exists():
        pytest.skip(f"public run tables not found in {folder} (set M3JAX_DATA to their folder)")
    return folder


MOST_MAPS = 20_000


@pytest.fixture(autouse=True, scope="module")
def compiled_code_does_not_pile_up() -> Iterator[None]:
    """Every compiled function holds memory maps, of which Linux gives a process 65,530."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def output_is_as_wide_as_when_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the terminal, or the runner of parallel tests, says of its width."""
    monkeypatch.delenv("COLUMNS", raising=False)


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document, without NaN or Infinity."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


def call(*arguments: object) -> Result:
    """`m3jax` with these arguments, in this process."""
    from m3jax.cli import main

    return call_main(main, "m3jax", *arguments)


def ok(*arguments: object) -> Result:
    """`call`, which must succeed."""
    result = call(*arguments)
    assert (result.code, "error" in result.err) == (0, False), result.err
    return result


def call_main(main: Any, name: str, *arguments: object) -> Result:
    """A script's `main` as if `name` had been called with these arguments."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            code = main() or 0
        except SystemExit as end:
            code = end.code or 0
    return Result(code, out.getvalue(), err.getvalue())


def call_script(script: ModuleType, *arguments: object) -> Result:
    """A script of `benchmarks` or `tools` with these arguments, in this process."""
    return call_main(script.main, script.__name__, *arguments)


def mostly_slow(laws: Iterable[Any]) -> list[Any]:
    """Laws, or their names, as parameters of a test: slow but for two of them."""
    names = {getattr(law, "name", law): law for law in laws}
    return [
        pytest.param(law, id=name, marks=() if name in ("chinchilla", "m3") else pytest.mark.slow)
        for name, law in names.items()
    ]


def made_up_text(seed: int, letters: str) -> str:
    """Text with something to learn in it: made-up words, drawn again and again."""
    rng = np.random.default_rng(seed)
    known = ["".join(rng.choice(list(letters), rng.integers(2, 8))) for _ in range(200)]
    return " ".join(rng.choice(known, 4_000))


def is_finite(value: Any) -> bool:
    """Whether every number in a JSON document is finite."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list):
        return all(map(is_finite, value))
    if value is None or isinstance(value, str):
        return True
    return math.isfinite(value)

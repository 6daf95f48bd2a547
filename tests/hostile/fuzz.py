"""Inputs that nobody should have sent, by the thousand: `python -m tests.hostile.fuzz --help`.

Every input must end in `M3Error` of one line, or in a result that is finite and whole. Anything
else (another exception, a warning of NumPy, a line break, a number that is not finite) is a
finding, told with the seed that makes it again.
"""

import argparse
import contextlib
import copy
import dataclasses
import io
import json
import math
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from m3jax import Fits, M3Error, Recipe, RunTable, get_law
from m3jax.cli import main
from m3jax.fitting import Prior
from m3jax.fitting.fit_file import signed
from m3jax.options import CompareOptions, FitOptions, MapOptions, NextOptions, OptimizeOptions
from m3jax.pipeline import read_config

from ..fitting.fit_file.saved import arrays_of, made_up, npz, same, write_by_hand
from . import values

FITS = made_up()
POINT = Recipe.create(n_params=1e8, target_tokens=1e8, epochs=2.0, target_ratio=0.5)
CONFIG = """
title = "A study"
output = "out"
overwrite = false
[runs]
path = "runs.csv"
columns = { loss = "val_loss" }
units = { n_params = "M", loss = 2.0 }
drop_highest = 1
[fit]
law = "m3"
fixed = { alpha = 0.3 }
starts = 2
draws = 2
level = 0.9
prior = "weak"
seed = 3
[compare]
laws = ["chinchilla"]
holdouts = ["compute"]
fraction = 0.2
[optimize]
compute = [1e19, 3e19]
target_tokens = [1e8, 3e8]
epochs = [1.0, 20.0]
"""


class Finding(AssertionError):
    """A promise that was not kept."""


def finite(content: Any) -> bool:
    if isinstance(content, dict):
        return all(map(finite, content.values()))
    if isinstance(content, list):
        return all(map(finite, content))
    return not isinstance(content, float) or math.isfinite(content)


def check_fits(path: Path, unchanged: bool) -> None:
    """What is read is finite and says so; unless the checksums were made anew, it is what was."""
    fits = Fits.load(path)
    if unchanged and not same(fits, FITS):
        raise Finding("damage was read as another fit")
    if not finite(fits.to_dict()):
        raise Finding("a number is not finite")
    for language in fits.languages:
        if not np.all(np.isfinite(fits.predict(POINT, language))):
            raise Finding("a prediction is not finite")
    fits.save(path.with_name("again.json"))


def content_of(folder: Path) -> dict[str, Any]:
    return json.loads(FITS.save(folder / "fits.json").read_text(encoding="utf-8"))


def fit_bytes(draw: random.Random, folder: Path) -> None:
    """Either file of a fit, damaged."""
    path = FITS.save(folder / "fits.json")
    file = draw.choice((path, path.with_suffix(".npz")))
    file.write_bytes(values.damaged(draw, file.read_bytes()))
    check_fits(path, unchanged=True)


def fit_content(draw: random.Random, folder: Path) -> None:
    """JSON that says something else, mostly with its checksum made anew."""
    content = content_of(folder)
    for _ in range(draw.choice((1, 1, 1, 3))):
        values.change(draw, content, values.HALF if draw.random() < 0.05 else values.value(draw))
    sign = draw.random() < 0.9
    try:
        text = json.dumps(signed(content) if sign else content)
    except (TypeError, ValueError):  # what JSON cannot say, or of thousands of digits
        return
    (folder / "fits.json").write_text(text, encoding="utf-8")
    check_fits(folder / "fits.json", unchanged=not sign)


def odd_array(draw: random.Random, array: np.ndarray) -> np.ndarray:
    kind = draw.randrange(8)
    if kind == 0:
        return array.astype(draw.choice(("f4", ">f8", "i8", "c16", "U8", "?", "S4", "f2", "u1")))
    if kind == 1:
        return array[draw.choice((slice(0, 1), slice(0, 0), None, ...))]
    if kind == 2:
        return array.reshape(draw.choice(((-1,), (1, -1), (-1, 1), (*array.shape, 1))))
    if kind == 3:
        return array.T
    if kind == 4:
        return np.concatenate([array, array], axis=draw.randrange(array.ndim))
    if kind == 5:
        return np.zeros(draw.randrange(4), dtype=[("a", "f8")])
    out = array.copy()
    out.flat[draw.randrange(out.size)] = float(
        draw.choice([n for n in values.NUMBERS if abs(n) < 10**300 or isinstance(n, float)])
    )
    return out if kind == 6 else np.asfortranarray(out)


def fit_arrays(draw: random.Random, folder: Path) -> None:
    """Arrays of another kind, or zips of another make, with their digests made anew."""
    content, arrays = content_of(folder), arrays_of(FITS)
    name = draw.choice(list(arrays))
    kind = draw.randrange(4)
    with np.errstate(all="ignore"):
        arrays[name] = odd_array(draw, arrays[name])
    if kind == 0:
        del arrays[name]
    data = npz(arrays)
    if kind == 1:
        data = values.damaged(draw, data)
    if kind == 2:
        buffer = io.BytesIO()
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(buffer, "w", method) as file:
            for key, array in arrays.items():
                member = io.BytesIO()
                np.save(member, array)
                body = member.getvalue()
                file.writestr(f"{key}.npy", values.damaged(draw, body) if key == name else body)
        data = buffer.getvalue()
    check_fits(write_by_hand(folder / "fits.json", content, data), unchanged=False)


def config_text(draw: random.Random, folder: Path) -> None:
    """A configuration with other bytes, or other values."""
    path = folder / "study.toml"
    if draw.random() < 0.5:
        path.write_bytes(values.damaged(draw, CONFIG.encode()))
    else:
        lines = CONFIG.splitlines()
        place = draw.choice([i for i, line in enumerate(lines) if "=" in line])
        key = lines[place].split("=")[0]
        odd = draw.choice(values.TOML)
        lines[place] = f"{key}= {odd}"
        path.write_text("\n".join(lines), encoding="utf-8")
    config = read_config(path)
    FitOptions.of(**{k: v for k, v in config.fit.items() if k != "law"})
    if config.optimize is not None:
        OptimizeOptions.of(**config.optimize)
    if config.compare is not None:
        CompareOptions.of(**{k: v for k, v in config.compare.items() if k != "laws"})


def prior_text(draw: random.Random, folder: Path) -> None:
    """A prior with other bytes, or other values."""
    law, path = get_law("m3"), folder / "prior.json"
    Prior({"alpha": (0.3, 0.4), "beta": (0.2, 0.3)}, "me").save(path)
    if draw.random() < 0.5:
        path.write_bytes(values.damaged(draw, path.read_bytes()))
    else:
        content = json.loads(path.read_text(encoding="utf-8"))
        values.change(draw, content, values.value(draw))
        with contextlib.suppress(TypeError, ValueError):  # what JSON cannot say
            path.write_text(json.dumps(content), encoding="utf-8")
    Prior.read(path, law).check(law)


def option_values(draw: random.Random, folder: Path) -> None:
    """Options of the functions, of any kind and size."""
    options = draw.choice((FitOptions, CompareOptions, MapOptions, NextOptions, OptimizeOptions))
    names = [field.name for field in dataclasses.fields(options)]
    given = {name: values.value(draw) for name in draw.sample(names, draw.choice((1, 1, 2, 4)))}
    if options is not FitOptions:
        given = {"compute": 1e20, "target_tokens": 1e8, "budget": 1e20, "runs": 8} | given
    options.of(**{name: copy.deepcopy(v) for name, v in given.items() if name in names})


def command_line(draw: random.Random, folder: Path) -> None:
    """`m3jax predict` with anything behind its options: an exit code, at most one line of error."""
    path = FITS.save(folder / "fits.json")
    flags = ("--n-params", "--target-tokens", "--epochs", "--target-ratio", "--final-ratio", "-l")
    typed = {"--n-params": "1e8", "--target-tokens": "100M", "--epochs": "2"}
    for flag in draw.sample(flags, draw.choice((1, 1, 2))):
        typed[flag] = draw.choice(
            [text for text in values.TEXTS if "\0" not in text]
            + [repr(n) for n in values.NUMBERS if abs(n) < 1e300]
            + ["1,2,3", "1,", ",", "1e3K", "KM", "1" * 500, "0x10", "1_0", "١"]
        )
    options = [f"{flag}={text}" if flag != "-l" else f"-l{text}" for flag, text in typed.items()]
    line = ["m3jax", "predict", str(path), *options]
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    code: Any = 0
    try:
        sys.argv = [*line, "--json"]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = argv
    if code not in (0, 2) or (code == 2 and (err.getvalue().count("\n") != 1 or out.getvalue())):
        raise Finding(f"{line}: exit code {code}, {err.getvalue()!r}")
    if code == 0 and not finite(json.loads(out.getvalue())):
        raise Finding(f"{line}: a number is not finite")
    if code == 2:
        raise M3Error(err.getvalue().rstrip("\n"))


def run_table(draw: random.Random, folder: Path) -> None:
    """A table with other cells, keys or bytes, in a format that people have."""
    table = [
        {"run_id": f"r{i}", "language": "Indonesian", "n_params": 1e7 * (1 + i), "loss": 3 - i / 9}
        | {"target_tokens": 1e8, "epochs": 1.0 + i, "target_ratio": 0.5, "weight": 1.0}
        for i in range(6)
    ]
    for _ in range(draw.choice((0, 1, 1, 3))):
        values.change(draw, table, values.value(draw))
    suffix = draw.choice((".csv", ".tsv", ".json", ".jsonl"))
    path = folder / f"table{suffix}"
    try:
        if suffix == ".json":
            text = json.dumps(table)
        elif suffix == ".jsonl":
            text = "\n".join(map(json.dumps, table))
        else:
            mark = "," if suffix == ".csv" else "\t"
            head = list(table[0])
            text = "\n".join([mark.join(map(str, head))] + [
                mark.join(str(row.get(name, "")) for name in head) for row in table
            ])  # fmt: skip
        path.write_text(text, encoding="utf-8")
    except (TypeError, ValueError, AttributeError, IndexError):  # no table that can be written
        return
    if draw.random() < 0.5:
        path.write_bytes(values.damaged(draw, path.read_bytes()))
    runs = RunTable.read(
        path,
        skip_incomplete=draw.random() < 0.3,
        keep_best=draw.random() < 0.2,
        thousands=draw.random() < 0.1,
    )
    numbers = [runs.loss, runs.weight, *(leaf for leaf in dataclasses.astuple(runs.recipe))]
    if not len(runs) or not all(np.all(np.isfinite(leaf)) for leaf in numbers):
        raise Finding("a table without runs, or a number that is not finite")


_FUNCTIONS = (
    run_table, fit_bytes, fit_content, fit_arrays, config_text, prior_text, option_values,
    command_line,
)  # fmt: skip
KINDS: dict[str, Callable[[random.Random, Path], None]] = {f.__name__: f for f in _FUNCTIONS}


def attempt(kind: str, seed: int, folder: Path) -> str:
    """Try one input. "refused" or "taken"; raises `Finding` on a promise that was not kept."""
    draw = random.Random(f"{kind} {seed}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", UserWarning)
            KINDS[kind](draw, folder)
    except M3Error as error:
        text = str(error)
        if "\n" in text or len(text) > 4000:
            raise Finding(f"not one readable line: {text[:300]!r}") from error
        return "refused"
    return "taken"


def fuzz(inputs: int, seed: int) -> tuple[Counter, list[str]]:
    """How inputs of every kind ended, and the findings."""
    ended: Counter = Counter()
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(inputs):
            kind = list(KINDS)[number % len(KINDS)]
            place = Path(folder, str(number % 50))
            place.mkdir(exist_ok=True)
            try:
                ended[kind, attempt(kind, seed + number, place)] += 1
            except Exception:
                ended[kind, "FOUND"] += 1
                findings.append(f"{kind}, seed {seed + number}:\n{traceback.format_exc(limit=-4)}")
    return ended, findings


def script() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.monotonic()
    ended, findings = fuzz(options.inputs, options.seed)
    for (kind, end), count in sorted(ended.items()):
        print(f"{kind:15} {end:8} {count:6}")
    print(*findings, f"{options.inputs} inputs, {len(findings)} findings,"
          f" {time.monotonic() - begin:.0f} s", sep="\n")  # fmt: skip
    return len(findings) > 0


if __name__ == "__main__":
    sys.exit(script())

"""The house rules: import contracts that fail when broken, sizes, one name for one thing."""

import ast
import functools
import shutil
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from .conftest import ROOT

PACKAGES = ("m3jax", "benchmarks", "tools", "tests")
MODULES = sorted((ROOT / "m3jax").rglob("*.py"))

LAYERS = "Dependencies point one way"
OUTSIDE = "The product does not know its tests and benchmarks"
PRIVATE = "Private modules stay in their package"
CYCLES = "No cycles"

CIRCLE = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .{} import Name\n"
# The contract that must fail, what its report must name, and what is added to files old and new.
VIOLATIONS = {
    "a law imports the fit": (
        LAYERS,
        "m3jax.laws.m3 -> m3jax.fitting",
        {"m3jax/laws/m3.py": "from ..fitting import fit\n"},
    ),
    "the recipe imports the terminal, for types": (
        LAYERS,
        "m3jax.recipe -> m3jax.output",
        {
            "m3jax/recipe.py": "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from .output import say\n"
        },
    ),
    "the fit imports a benchmark": (
        OUTSIDE,
        "m3jax.fitting._fits -> benchmarks.support.work",
        {"m3jax/fitting/_fits.py": "import benchmarks.support.work\n"},
    ),
    "a test imports a private module": (
        PRIVATE,
        "tests.test_recipe -> m3jax.fitting._fits",
        {"tests/test_recipe.py": "import m3jax.fitting._fits\n"},
    ),
    "a benchmark imports a private module": (
        PRIVATE,
        "benchmarks.studies.bayes -> m3jax.fitting._fits",
        {"benchmarks/studies/bayes.py": "from m3jax.fitting import _fits\n"},
    ),
    "a package imports another's private module": (
        PRIVATE,
        "m3jax.design -> m3jax.fitting._fits",
        {"m3jax/design/__init__.py": "from ..fitting._fits import Fits\n"},
    ),
    "two modules import each other, for types": (
        CYCLES,
        "No cycles are allowed in m3jax.export.",
        {
            "m3jax/export/_first.py": CIRCLE.format("_second"),
            "m3jax/export/_second.py": CIRCLE.format("_first"),
        },
    ),
    "two test packages import each other": (
        CYCLES,
        "No cycles are allowed in tests.",
        {
            "tests/runs/test_first.py": "import tests.laws.test_second\n",
            "tests/laws/test_second.py": "import tests.runs.test_first\n",
        },
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project's code and contracts, to be broken."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    return folder


def check_contracts(folder):
    """Name of each contract -> KEPT or BROKEN, and the report."""
    pytest.importorskip("importlinter", reason="pip install -e '.[dev]'")
    code = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports;"
        "sys.exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    verdicts = dict(line for line in lines if line[-1] in ("KEPT", "BROKEN"))
    assert verdicts, done.stdout + done.stderr
    assert (done.returncode == 0) == ("BROKEN" not in verdicts.values())
    return verdicts, done.stdout


def test_every_import_contract_is_kept(copy):
    verdicts, report = check_contracts(copy)
    assert {LAYERS, OUTSIDE, PRIVATE, CYCLES} <= set(verdicts)
    assert set(verdicts.values()) == {"KEPT"}, report


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_deliberate_violation_breaks_its_contract(copy, violation):
    contract, culprit, additions = VIOLATIONS[violation]
    before = {
        name: (copy / name).read_text() if (copy / name).exists() else None for name in additions
    }
    try:
        for name, text in additions.items():
            (copy / name).write_text((before[name] or "") + "\n" + text)
        verdicts, report = check_contracts(copy)
        assert verdicts[contract] == "BROKEN"
        assert culprit in report
    finally:
        for name, text in before.items():
            if text is None:
                (copy / name).unlink()
            else:
                (copy / name).write_text(text)


def test_no_folder_but_that_of_the_laws_is_crowded():
    sizes = Counter(module.parent.relative_to(ROOT).as_posix() for module in MODULES)
    del sizes["m3jax/laws"]
    assert {folder: size for folder, size in sizes.items() if size > 14} == {}


def test_no_file_is_long():
    lines = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {module: count for module, count in lines.items() if count > 400} == {}


@functools.cache
def parsed():
    """(module, its syntax tree) of the whole package."""
    return [(module, ast.parse(module.read_text(encoding="utf-8"))) for module in MODULES]


def test_no_function_has_many_parameters():
    """As written: parameters that an options class gives a function are not in its source."""
    crowded = {}
    for module, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                written = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = {argument.arg for argument in written} - {"self", "cls"}
                if len(names) > 12:
                    crowded[f"{module.relative_to(ROOT)}: {node.name}"] = len(names)
    assert crowded == {}


def test_a_name_stands_for_one_thing():
    """Classes, and functions that other modules may import."""
    homes = defaultdict(list)
    for module, tree in parsed():
        for node in tree.body:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(node, ast.ClassDef) or (is_function and not node.name.startswith("_")):
                homes[node.name].append(str(module.relative_to(ROOT)))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}

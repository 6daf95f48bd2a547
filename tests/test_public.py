"""The package from outside: its names, what importing it costs, its version."""

import importlib.metadata
import subprocess
import sys

import pytest

import m3jax


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", m3jax.__all__)
def test_every_public_name_is_there(name):
    assert getattr(m3jax, name) is not None
    assert name in dir(m3jax)


def test_every_public_name_has_one_home():
    names = [name for name in m3jax.__all__ if name != "__version__"]
    assert len(set(m3jax.__all__)) == len(m3jax.__all__)
    assert set(names) == set(m3jax._HOME)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'm3jax' has no attribute 'optimise'"):
        m3jax.optimise  # noqa: B018
    with pytest.raises(ImportError, match="optimise"):
        from m3jax import optimise  # noqa: F401


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("jax", "numpy", "pandas", "optax", "matplotlib", "rich", "typer")
    code = f"import m3jax, sys; print([name for name in {heavy} if name in sys.modules])"
    assert python(code) == "[]"


def test_optimize_is_the_function_whatever_was_imported_before():
    code = (
        "import m3jax.optimization, m3jax.fitting; from m3jax import fit, optimize, plan;"
        "print(callable(optimize), callable(fit), callable(plan), m3jax.optimize is optimize)"
    )
    assert python(code) == "True True True True"


def test_the_version_is_that_of_the_installed_package():
    assert m3jax.__version__ == importlib.metadata.version("m3jax")


def test_the_command_is_installed():
    found = importlib.metadata.entry_points(group="console_scripts", name="m3jax")
    assert {entry.value for entry in found} == {"m3jax.cli:main"}


def test_errors_are_value_errors():
    assert issubclass(m3jax.M3Error, ValueError)

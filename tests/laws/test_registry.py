"""The registry of laws."""

import pytest

from m3jax import M3Error, laws
from m3jax.laws import get_law, list_laws, register_law

from .points import SQUARE_ROOT

pytestmark = pytest.mark.usefixtures("strict_promotion")


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(laws, "_REGISTRY", dict(laws._REGISTRY))


def test_the_paper_laws_and_their_rivals_are_registered():
    assert list_laws()[0] == "m3"
    assert {"m3_posynomial", "chinchilla", "data_constrained"} < set(list_laws())


@pytest.mark.usefixtures("registry")
def test_a_registered_law_is_found_by_name():
    assert register_law(SQUARE_ROOT) is SQUARE_ROOT
    assert get_law("square_root") is SQUARE_ROOT
    assert list_laws()[-1] == "square_root"


def test_a_law_is_its_own_name():
    assert get_law(SQUARE_ROOT) is SQUARE_ROOT
    assert "square_root" not in list_laws()


def test_unknown_law_is_refused_with_the_known_ones():
    with pytest.raises(M3Error, match=r"unknown law 'm4'; known: m3, .*chinchilla"):
        get_law("m4")


@pytest.mark.usefixtures("registry")
def test_a_taken_name_is_refused_unless_overwritten():
    register_law(SQUARE_ROOT)
    with pytest.raises(M3Error, match="'square_root' is registered already"):
        register_law(SQUARE_ROOT)
    assert register_law(SQUARE_ROOT, overwrite=True) is SQUARE_ROOT

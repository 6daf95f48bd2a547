"""`m3jax laws`."""

from m3jax import list_laws

from ..conftest import ok


def test_laws_are_listed():
    rows = ok("laws", "--json").json
    assert tuple(row["name"] for row in rows) == list_laws()
    assert all({"formula", "source", "coefficients", "published"} <= set(row) for row in rows)
    text = ok("laws").out
    for row in rows:
        assert row["name"] in text
        assert row["formula"] in text

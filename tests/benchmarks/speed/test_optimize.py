"""`optimize` at a tiny size."""

import pytest

from benchmarks.speed import optimize

from ...conftest import call_script, is_finite


@pytest.mark.slow
def test_optimize(capsys):
    sizes = {"--problems": 12, "--languages": 3, "--certified": 6, "--peer-problems": 4}
    arguments = [word for pair in sizes.items() for word in pair]
    done = call_script(optimize, *arguments, "--peers", "slsqp,cvxpy_dgp", "--json")
    assert done.code == 0
    result = done.json
    assert is_finite({**result, "machine": None})
    assert result["problems"] == 12
    assert result["infeasible"] == 0
    assert result["max_relative_gap"] <= 1e-6
    assert result["certified"]["max_relative_gap"] <= 1e-4
    slsqp = result["peers"]["slsqp"]
    assert result["ratio_slsqp"] == slsqp["ratio"]
    assert slsqp["success"] >= 0.75
    assert slsqp["m3jax_max_excess"] < 1e-6
    assert "slsqp: 8 problems" in done.err or "slsqp: 4 problems" in done.err
    gone = {"gone": {"available": False, "reason": "not here"}}
    optimize.show(result | {"peers": result["peers"] | gone})
    out = capsys.readouterr().out
    assert "gone: not here" in out
    assert "a second with" in out

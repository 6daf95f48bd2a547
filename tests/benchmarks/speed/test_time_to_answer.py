"""`time_to_answer` at a tiny size."""

import pytest

from benchmarks.speed import time_to_answer

from ...conftest import call_script, is_finite


@pytest.mark.slow
def test_time_to_answer(capsys):
    sizes = {"--languages": 6, "--runs": 60, "--draws": 4, "--repeats": 1}
    arguments = [word for pair in sizes.items() for word in pair]
    some = "fit_many,fit_many_draws,optimize_plain,constraint,predict"
    done = call_script(time_to_answer, *arguments, "--only", some, "--json")
    assert done.code == 0
    result = done.json
    assert is_finite({**result, "machine": None})
    assert set(result["cold_s"]) == set(some.split(","))
    for name, peer in time_to_answer.PEERS.items():
        row = result["jobs"][name]
        assert (row["peer"], row["as_good"] >= 0.75) == (peer, True)
    assert result["ratio_minpack_cold"] == result["jobs"]["fit_many"]["ratio_cold"]
    assert result["ratio_slsqp_warm"] == result["jobs"]["optimize_plain"]["ratio_warm"]
    # What NumPy runs has nothing to compile.
    assert result["programs"]["predict"] == result["programs"]["fit_many"] == 0
    assert "predict: 4 languages" in done.err
    time_to_answer.show(result)
    assert "minpack" in capsys.readouterr().out


def test_jobs_are_named():
    done = call_script(time_to_answer, "--only", "fit,guess")
    assert done.code == 2
    assert "unknown job 'guess'" in done.err

"""`batch_fit` at a tiny size."""

import argparse

import pytest

from benchmarks.speed import batch_fit
from benchmarks.support.peers import PEERS
from benchmarks.support.script import whole_numbers

from ...conftest import call_script, is_finite

WORK = {"law", "runs", "noise", "huber_delta", "seed", "languages", "peers", "scaling", "machine"}
TOOL = {
    "reached_quality", "time_to_quality_s", "seconds", "compile_s", "fits_per_second", "starts",
    "effort", "within_share", "median_excess", "peak_memory_mb", "device_memory_mb", "measured_on",
}  # fmt: skip


@pytest.mark.slow
def test_batch_fit(capsys):
    sizes = {"--languages": 2, "--runs": 24, "--law": "chinchilla", "--reference-starts": 2}
    arguments = [word for pair in sizes.items() for word in pair]
    arguments += ["--peers", "scipy_least_squares,scipy_huber", "--max-starts", 4]
    done = call_script(batch_fit, *arguments, "--json")
    assert done.code == 0
    result = done.json
    ratios = {"ratio_scipy_least_squares", "ratio_scipy_huber", "ratio_plain_vmap"}
    assert set(result) == WORK | TOOL | ratios | {"device"}
    assert is_finite(result)
    assert result["within_share"] == 1
    assert result["ratio_plain_vmap"] is None
    for name, row in result["peers"].items():
        assert set(row) == TOOL | {"available", "ratio"}
        assert row["within_share"] >= 0.5
        assert row["ratio"] == row["seconds"] / result["seconds"] == result[f"ratio_{name}"]
    assert list(result["peers"]) == ["scipy_least_squares", "scipy_huber"]
    assert result["peak_memory_mb"] > 50
    assert result["machine"]["cores"] >= 1
    assert "m3jax: timed" in done.err

    batch_fit.show(
        result
        | {
            "peers": result["peers"] | {"gone": {"available": False, "reason": "not here"}},
            "scaling": [result],
        }
    )
    out = capsys.readouterr().out
    assert "gone: not here" in out
    assert all(name in out for name in result["peers"])
    assert "m3jax, 2 languages" in out


def test_peers_are_known_names():
    assert batch_fit.peer_names("none") == []
    assert batch_fit.peer_names("all") == [*PEERS, "plain_vmap", "optimistix"]
    with pytest.raises(argparse.ArgumentTypeError, match="unknown peer 'nobody'; known: scipy_"):
        batch_fit.peer_names("plain_vmap,nobody")
    assert whole_numbers("10,100") == [10, 100]

"""`coverage` at a tiny size."""

import pytest

from benchmarks.studies import coverage

from ...conftest import call_script, is_finite

COVERAGE = {
    "scenario", "method", "fits", "not_fitted", "runs", "noise", "draws", "huber_delta", "level",
    "coverage", "width", "median_abs_relative_error", "mean_relative_error", "seconds",
}  # fmt: skip


@pytest.mark.slow
def test_coverage():
    sizes = {"--languages": 2, "--repeats": 2, "--runs": 60, "--draws": 10}
    arguments = [word for pair in sizes.items() for word in pair]
    done = call_script(coverage, *arguments, "--methods", "calibrated,delta", "--json")
    assert done.code == 0
    results = done.json
    assert [(r["scenario"], r["method"]) for r in results] == [
        (s, m) for s in coverage.SCENARIOS for m in ("calibrated", "delta")
    ]
    for result in results:
        assert set(result) == COVERAGE
        assert is_finite(result)
        assert result["fits"] + result["not_fitted"] == 4
        assert (
            set(result["width"])
            == set(result["coverage"])
            == {"runs", "ten_times", "best", "exponents"}
        )
        assert all(0 <= share <= 1 for share in result["coverage"].values())
        assert 0 < result["median_abs_relative_error"] < 0.05
    assert "outliers runs, delta intervals" in done.err


def test_coverage_for_people(monkeypatch):
    monkeypatch.setattr(
        coverage,
        "study",
        lambda **options: {
            "coverage": {"runs": 0.9, "best": 0.8},
            "width": {"runs": 0.01, "best": 0.02},
            **options,
        },
    )
    done = call_script(coverage, "--repeats", 3)
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) == 1 + 2 * len(coverage.SCENARIOS) * len(coverage.METHODS)
    assert lines[1].split() == ["independent", "calibrated", "0.900", "0.800"]
    assert lines[2].split() == ["width", "0.0100", "0.0200"]

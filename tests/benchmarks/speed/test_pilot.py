"""`pilot` at a tiny size."""

import pytest

from benchmarks.speed import pilot
from m3jax.pilot import Shape

from ...conftest import call_script


@pytest.mark.slow
def test_speed_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(pilot, "shapes", lambda _: [Shape(1, 16)])
    arguments = ["--widths", "16", "--ways", "1x1,1x2", "--steps", "2", "--rounds", "1"]
    done = call_script(pilot, *arguments, "--peak", "1e12", "--json")
    assert done.code == 0
    result = done.json
    assert [row["workers"] for row in result["rows"]] == [1, 2]
    for row in result["rows"]:
        assert row["utilisation"] == pytest.approx(row["flop_per_second"] / 1e12)
        assert row["flop_per_second"] == pytest.approx(
            6 * Shape(1, 16).n_params * row["tokens_per_second"]
        )
    assert result["rows"][0]["gain"] == 1
    pilot.show(result)
    assert "MFU" in capsys.readouterr().out

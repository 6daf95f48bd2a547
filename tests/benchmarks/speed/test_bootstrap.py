"""`bootstrap` at a tiny size."""

import pytest

from benchmarks.speed import bootstrap
from benchmarks.support import measure

from ...conftest import call_script, is_finite
from .test_batch_fit import WORK

BOOTSTRAP = {
    "languages", "draws", "seconds", "fit_seconds", "bootstrap_seconds", "compile_s",
    "peak_memory_mb", "device_memory_mb",
}  # fmt: skip


@pytest.mark.slow
def test_bootstrap(capsys):
    sizes = {"--languages": 2, "--runs": 24, "--law": "chinchilla", "--draws": 16, "--starts": 2}
    arguments = [word for pair in sizes.items() for word in pair]
    done = call_script(bootstrap, *arguments, "--peer-draws", 30, "--json")
    assert done.code == 0
    result = done.json
    assert set(result) == WORK | BOOTSTRAP | {"ratio_scipy_least_squares", "scaling_exponent"}
    assert is_finite(result)
    assert result["bootstrap_seconds"] == result["seconds"] - result["fit_seconds"]
    peer = result["peers"]["scipy_least_squares"]
    assert peer["measured_on"] == {"languages": 2, "draws": 30}
    assert peer["within_share"] >= 0.9
    assert 0.5 < peer["spread_ratio"] < 2
    bootstrap.show(result | {"scaling": [result], "scaling_exponent": 1.0})
    out = capsys.readouterr().out
    assert out.count("2 languages × 16 draws") == 2
    assert "to the power 1.000" in out


def test_bootstrap_scaling(monkeypatch):
    def measured(work, draws, *_):
        timed = measure.Timed(None, 0.01 * work.languages**0.9, 1.0, 100.0, None)
        return bootstrap.Run(timed, timed._replace(seconds=0.001), "cpu")

    monkeypatch.setattr(measure.Fresh, "call", lambda self, _, *options: measured(*options))
    done = call_script(bootstrap, "--peer-languages", 0, "--scaling", "10x5,100x5,1000x5", "--json")
    result = done.json
    assert done.code == 0
    assert result["scaling_exponent"] == pytest.approx(0.9)
    assert [size["languages"] for size in result["scaling"]] == [10, 100, 1000]
    assert all(set(size) == BOOTSTRAP for size in result["scaling"])
    assert result["peers"] == {}
    assert result["ratio_scipy_least_squares"] is None

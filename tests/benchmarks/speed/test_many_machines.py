"""`many_machines` at a tiny size."""

import pytest

from benchmarks.speed import many_machines

from ...conftest import call_script, is_finite


@pytest.mark.slow
def test_two_processes_and_one(capsys):
    sizes = {"--languages": 4, "--runs": 24, "--law": "chinchilla", "--draws": 2}
    arguments = [word for pair in sizes.items() for word in pair]
    done = call_script(many_machines, *arguments, "--processes", "1,2", "--json")
    assert done.code == 0
    result = done.json
    assert is_finite(result)
    one, two = result["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["efficiency"] == one["longer"] == 1.0
    assert two["same"]
    assert two["processor_seconds"] > 0
    many_machines.show(result)
    assert "2 processes: " in capsys.readouterr().out

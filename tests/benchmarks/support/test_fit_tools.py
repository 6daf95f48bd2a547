"""Every tool climbs to the quality asked for, at the cheapest setting that reaches it."""

import numpy as np

from benchmarks.support import fit_tools

from ..speed.test_batch_fit import TOOL


def test_what_is_not_there_is_said(monkeypatch):
    assert fit_tools.absent("chinchilla", "m3") == "fits the chinchilla law only"
    assert fit_tools.absent("scipy_huber", "m3") is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    why = fit_tools.absent("simple_scaling_laws", "chinchilla")
    assert why == "not installed: pip install simple-scaling-laws"
    assert fit_tools.absent("optimistix", "m3") == "not installed: pip install optimistix"


class Scripted:
    """A tool whose objectives, (starts, effort) -> one a language, are written down."""

    effort = "iterations"

    def __init__(self, objectives):
        self.objectives = {key: np.array(value) for key, value in objectives.items()}
        self.efforts = sorted({effort for _, effort in objectives})
        self.languages = np.arange(2)

    def run(self, starts, effort):
        return fit_tools.ToolOutcome(
            starts, effort, self.objectives[starts, effort], starts * effort
        )

    def in_fresh_process(self, outcome):
        return outcome


def test_every_tool_gets_the_cheapest_setting_that_is_good_enough():
    slow = Scripted({(1, 9): [1.0, 1.0]})
    # Good enough by its own light at one start, by the other's only at two.
    quick = Scripted(
        {(1, 2): [2.0, 1.1], (1, 3): [1.1, 1.1], (2, 2): [1.2, 1.0], (2, 3): [1.0, 1.0005]}
        | {(4, 2): [1.0, 1.0], (4, 3): [1.0, 1.0]}
    )
    ladders = {"m3jax": fit_tools.Ladder(slow, 1), "quick": fit_tools.Ladder(quick, 4)}
    assert fit_tools.climb_all(ladders, 2, lambda text: None) == {}
    best = fit_tools.best_known(ladders.values(), 2)
    np.testing.assert_array_equal(best, [1.0, 1.0])
    assert ladders["quick"].climbed == 2  # twice the starts would cost 8, more than the 6 found
    row = ladders["quick"].report(best, 2)
    assert set(row) == TOOL
    assert (row["starts"], row["effort"], row["seconds"]) == (2, {"iterations": 3}, 6)
    assert (row["reached_quality"], row["within_share"], row["time_to_quality_s"]) == (True, 1, 6)


def test_a_tool_that_never_gets_there_has_no_time_to_quality():
    poor = fit_tools.Ladder(Scripted({(1, 1): [2.0, 1.0], (2, 1): [2.0, 1.0]}), 2)
    good = fit_tools.Ladder(Scripted({(1, 1): [1.0, 1.0]}), 1)
    fit_tools.climb_all({"m3jax": good, "poor": poor}, 2, lambda text: None)
    row = poor.report(fit_tools.best_known([good, poor], 2), 2)
    assert (row["reached_quality"], row["within_share"], row["time_to_quality_s"]) == (
        False,
        0.5,
        None,
    )
    assert row["starts"] == 1
    assert row["seconds"] == 1


def test_a_peer_that_fails_does_not_stop_the_others():
    ladders = {
        "m3jax": fit_tools.Ladder(Scripted({(1, 1): [1.0, 1.0]}), 1),
        "broken": fit_tools.Ladder(Scripted({(2, 1): [1.0, 1.0]}), 1),
    }
    failed = fit_tools.climb_all(ladders, 2, lambda text: None)
    assert failed == {"broken": "failed: KeyError: (1, 1)"}

"""Trends that the law misses."""

from ..tables import told


def test_no_false_alarm_on_clean_runs(simple):
    for i in range(6):
        found = simple.found[f"clean{i}"]
        assert not found.outliers
        assert not any(trend.flagged for trend in found.trends)
        assert {t.variable for t in found.trends} >= {"n_params", "epochs", "total_tokens"}


def test_a_planted_trend_is_found_where_it_is(simple):
    flagged = [trend for trend in simple.found["trend"].trends if trend.flagged]
    assert "epochs" in {trend.variable for trend in flagged}
    first = next(trend for trend in flagged if trend.variable == "epochs")
    assert first.p_value < 0.001
    assert first.correlation > 0.3
    assert first.slope > 0
    said = first.message
    assert said.startswith(
        ("losses at large numbers of epochs", "losses at small numbers of epochs")
    )
    assert "under-predicted by" in said if "large" in said else "over-predicted by" in said
    assert f"{said}: law chinchilla knows nothing of that" in told(simple, "trend")
    assert simple.found["trend"].grade == "weak"

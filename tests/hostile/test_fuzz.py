"""A short run of the fuzz script; the long one is `python -m tests.hostile.fuzz`."""

import pytest

from .fuzz import KINDS, fuzz


@pytest.mark.parametrize(
    "inputs",
    [pytest.param(20 * len(KINDS)), pytest.param(200 * len(KINDS), marks=pytest.mark.slow)],
)
def test_whatever_is_sent_is_taken_whole_or_refused_in_a_line(inputs):
    ended, findings = fuzz(inputs, seed=7_000_000)
    assert findings == []
    for kind in KINDS:
        assert ended[kind, "refused"] > 0
        assert ended[kind, "refused"] + ended[kind, "taken"] == inputs // len(KINDS)

"""The public evidence, and the builder that makes it."""

import json

import numpy as np
import pytest

from m3jax.fitting import Evidence
from tools import public_evidence

from ...conftest import call_script


@pytest.mark.slow
def test_the_shipped_evidence_is_what_the_tables_give(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    path = tmp_path / "evidence.json"
    assert call_script(public_evidence, "--output", path).code == 0
    made = Evidence.from_dict(json.loads(path.read_text()), str(path))
    shipped = Evidence.public()
    sd = np.sqrt(np.diagonal(shipped.cov))
    np.testing.assert_allclose((made.mean - shipped.mean) / sd, 0.0, atol=0.02)
    np.testing.assert_allclose(
        made.cov / np.outer(sd, sd), shipped.cov / np.outer(sd, sd), atol=0.02
    )
    assert made.scope.ranges == shipped.scope.ranges
    assert made.tables == shipped.tables


def test_the_card_names_every_table_and_where_it_is_from():
    evidence = Evidence.public()
    assert sum(table.runs for table in evidence.tables) > 4000
    assert evidence.made.endswith("by tools/public_evidence.py")
    for table in evidence.tables:
        assert "arXiv" in table.source or "m3jax" in table.source or "DMSL" in table.source
        assert table.runs > 0
        low, high = table.ranges["compute"]
        assert low < high
    # Two stages are the project's own, small ones.
    two = [table for table in evidence.tables if "final_ratio" in table.varies]
    assert [table.name for table in two] == ["tiny", "pilot"]


def test_the_covariance_is_one():
    evidence = Evidence.public()
    assert np.all(np.linalg.eigvalsh(evidence.cov) > 0)
    np.testing.assert_allclose(evidence.cov, evidence.cov.T)
    # Correlations are kept: the size that is best for a budget ties A, alpha, B and beta.
    names = list(evidence.law.names)
    sd = np.sqrt(np.diagonal(evidence.cov))
    correlation = evidence.cov / np.outer(sd, sd)
    assert correlation[names.index("A"), names.index("B")] > 0.5


def test_without_the_tables_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path))
    done = call_script(public_evidence)
    assert (done.code, done.out) == (2, "")

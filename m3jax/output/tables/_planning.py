"""Tables of answers without runs: rules of thumb, what runs would be worth, run sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ... import formatting
from ._table import Column, Record, Table, plain_column, variable_column

if TYPE_CHECKING:
    from ...design import Prospect
    from ...fitting import EvidenceTable
    from ...planning import Plan


def rules_table(plan: Plan) -> Table:
    """One row a rule of thumb: what it would train, and what that costs beside the plan."""
    rows = []
    for rule in plan.rules:
        recipe = {} if rule.recipe is None else {k: float(v) for k, v in vars(rule.recipe).items()}
        rows.append({**rule._asdict(), **recipe})
    level = formatting.level(plan.recommendations.level)
    return Table(
        title=f"Rules of thumb beside it, and what they would lose ({level} interval)",
        columns=(
            plain_column("name", "rule"),
            variable_column("n_params", "model\nsize"),
            variable_column("epochs", "epochs\n"),
            variable_column("target_ratio", "ratio\n"),
            plain_column("loss", "loss\nnats/token", formatting.loss),
            Column("more", "loss above\nthe plan's", _more),
        ),
        rows=rows,
        notes=tuple(f"{rule.name}: {rule.why}" for rule in plan.rules if rule.why),
    )


def _more(row: Record) -> str:
    if row["more"] is None:
        return formatting.MISSING
    ends = (f"{math.expm1(row[key]):+.0%}" for key in ("more_low", "more_high"))
    return f"{math.expm1(row['more']):+.1%} ({' to '.join(ends)})"


def prospects_table(prospects: Sequence[Prospect], compute: float) -> Table:
    """One row a budget for small runs: what the choice is expected to lose then."""
    now = prospects[0].regret_now
    rows: list[dict[str, Any]] = [{"share": None, "budget": None, "runs": 0, "regret": now}]
    for prospect in prospects:
        rows.append(
            {
                "share": prospect.budget / compute,
                "budget": prospect.budget,
                "runs": prospect.runs,
                "regret": prospect.regret_after,
            }
        )
    return Table(
        title="What small runs first would be worth",
        columns=(
            plain_column("share", "share of\nthe budget", _percent),
            plain_column("budget", "FLOP\n", formatting.flop),
            plain_column("runs", "runs\n"),
            plain_column("regret", "expected regret\nnats/token", formatting.loss),
        ),
        rows=rows,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def evidence_table(tables: Sequence[EvidenceTable]) -> Table:
    """One row a table that the evidence is made of."""
    rows = [
        {
            "name": table.name,
            "runs": table.runs,
            "compute": table.ranges["compute"][1],
            "n_params": table.ranges["n_params"][1],
            "source": table.source,
        }
        for table in tables
    ]
    return Table(
        title="Evidence",
        columns=(
            plain_column("name", "table"),
            plain_column("runs"),
            variable_column("compute", "up to\nFLOP"),
            variable_column("n_params", "up to\nparams"),
            plain_column("source", "what it is", left=True, prose=True),
        ),
        rows=rows,
    )

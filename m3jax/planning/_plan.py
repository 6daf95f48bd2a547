"""`plan`: the best recipe for a language that has no runs yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import formatting
from .._errors import M3Error
from .._progress import Progress, silent
from ..design import Prospect, limits_of, prospects
from ..fitting import Evidence, EvidenceTable, Fits, fit_without_runs
from ..optimization import Recommendations, optimize
from ..options import PlanOptions, takes
from ..recipe import Recipe
from ._rules import RuleOutcome, RuleQuestion, rule_outcomes

SHARES = (0.001, 0.005, 0.02)  # of the compute, spent on small runs first
RUNS = 8  # of such a sheet
_SINGLE = 1.5  # epochs beyond which text is repeated


@dataclasses.dataclass(frozen=True, repr=False)
class Plan:
    """What public run tables say of one question, without runs of its own.

    Attributes:
        language: name.
        recommendations: the recipe, with intervals, as `optimize` gives it; (1, 1, 1).
        fits: what it rests on, for other questions.
        evidence: where that is from.
        rules: what rules of thumb would cost.
        prospects: what small runs would be worth, and the choice without any.
        grounds: how far the question lies beyond what was ever seen, in sentences.
        options: what was asked.
    """

    language: str
    recommendations: Recommendations
    fits: Fits
    evidence: Evidence
    rules: tuple[RuleOutcome, ...]
    prospects: tuple[Prospect, ...]
    grounds: tuple[str, ...]
    options: PlanOptions

    @property
    def recipe(self) -> Recipe:
        """The recipe, of floats."""
        return self.recommendations.at(0, 0, 0)

    @property
    def two_stage_params(self) -> float:
        """The largest model that two stages were ever seen in."""
        saw = [table for table in self.evidence.tables if "final_ratio" in table.varies]
        return max((table.ranges["n_params"][1] for table in saw), default=0.0)

    def summary(self) -> str:
        """The recipe in a line."""
        return self.recommendations.summary()

    def __repr__(self) -> str:
        return f"<Plan without runs: {self.summary()}>"

    def design_command(self, share: float = SHARES[1]) -> str:
        """The command that makes the sheet of small runs."""
        asked = f"-c {self.options.compute:.6g} -t {self.options.target_tokens:.6g}"
        source = self.options.max_source_tokens
        if source is not None:
            asked += f" --source-tokens {source:.6g}"
        return f"m3jax design {asked} --share {share:g} -o sheet.csv"

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        (record,) = self.recommendations.records()
        return {
            **record,
            "notes": list(self.recommendations.notes[0]),
            "grounds": list(self.grounds),
            "evidence": {
                "made": self.evidence.made,
                "tables": [_table_dict(table) for table in self.evidence.tables],
            },
            "rules": [
                {
                    **rule._asdict(),
                    "recipe": None
                    if rule.recipe is None
                    else {name: float(leaf) for name, leaf in vars(rule.recipe).items()},
                }
                for rule in self.rules
            ],
            "prospects": [prospect._asdict() for prospect in self.prospects],
            "design_command": self.design_command(),
        }


def _table_dict(table: EvidenceTable) -> dict[str, Any]:
    ranges = {name: list(span) for name, span in table.ranges.items()}
    return {**table._asdict(), "ranges": ranges, "varies": list(table.varies)}


@takes(PlanOptions)
def plan(
    *,
    options: PlanOptions,
    language: str = "target",
    evidence: Evidence | None = None,
    progress: Progress | None = None,
) -> Plan:
    """The recipe with the lowest expected log loss, from what public run tables say of a language.

    The coefficients are drawn from the population of the tables, see `Evidence`; the recipe is the
    best on average over the draws. Losses are those of a typical tokeniser: what differs between
    recipes carries over, what a loss amounts to hardly does.

    Args:
        options: the fields of `PlanOptions`, each a keyword.
        language: name, for people.
        evidence: by default what ships.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` as `optimize` does.
    """
    report = progress or silent
    found = Evidence.public() if evidence is None else evidence
    fits = fit_without_runs(
        found, language, draws=options.draws, level=options.level, seed=options.seed
    )
    recommendations = optimize(
        fits,
        compute=options.compute,
        target_tokens=options.target_tokens,
        objective=options.objective,
        draws=options.draws,
        level=options.level,
        progress=report,
        **limits_of(options, found),
    )
    if not recommendations.feasible.all():
        raise M3Error(f"no recipe is allowed: {recommendations.infeasible[0, 0, 0]}")
    recipe = recommendations.at(0, 0, 0)
    source = options.max_source_tokens
    most = np.inf if source is None else source * options.max_source_epochs
    allowed = recommendations.questions.allowed[0].ranges["n_params"]
    rules = rule_outcomes(
        fits,
        recipe,
        question=RuleQuestion.of(
            options.compute, options.target_tokens, most, (allowed.low, allowed.high)
        ),
        level=options.level,
        width=found.width,
    )
    report("weighing further runs", 0, 1)
    budgets = [share * options.compute for share in SHARES]
    worth = prospects(
        fits, recommendations, budgets, runs=RUNS, noise=found.noise, seed=options.seed
    )
    report("weighing further runs", 1, 1)
    return Plan(
        language=language,
        recommendations=recommendations,
        fits=fits,
        evidence=found,
        rules=rules,
        prospects=tuple(worth),
        grounds=tuple(grounds(found.tables, recipe)),
        options=options,
    )


def grounds(tables: Sequence[EvidenceTable], recipe: Recipe) -> list[str]:
    """How far a recipe lies beyond what the tables have seen of what it does, in sentences."""
    does = {"the recipe's compute": "compute"}
    if recipe.epochs > _SINGLE:
        does["repeated text"] = "epochs"
    if recipe.target_ratio < 1:
        does["mixtures"] = "target_ratio"
    if recipe.final_ratio > recipe.target_ratio * 1.001:
        does["two stages"] = "final_ratio"
    told, compute = [], float(recipe.compute)
    for what, variable in does.items():
        saw = [t for t in tables if variable == "compute" or variable in t.varies]
        largest = max(saw, key=lambda t: t.ranges["compute"][1])
        most = largest.ranges["compute"][1]
        how = f"{what}: seen up to {formatting.flop(most)} FLOP and "
        how += f"{formatting.count(largest.ranges['n_params'][1])} parameters ({largest.name})"
        beyond = compute / most
        told.append(how + (f": here {beyond:.2g} times that compute" if beyond > 1.05 else ""))
    return told

"""m3jax: from a table of small training runs to the best recipe for a low-resource language.

The public names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from ._errors import M3Error
    from .comparison import (
        HOLDOUTS,
        AveragedRecommendations,
        Score,
        Scores,
        compare,
        holdout_mask,
        recommend,
        weigh,
    )
    from .design import NextRuns, RunDesign, design_runs, next_runs
    from .export import training_plan, write_export
    from .fitting import (
        Diagnosis,
        Fits,
        Population,
        Prior,
        Profile,
        covariance,
        delta_interval,
        diagnose,
        fit,
        profile,
    )
    from .fitting.chunks import fit_in_chunks
    from .laws import Coefficient, Law, LogSpaceLaw, get_law, list_laws, register_law, special_case
    from .optimization import (
        BudgetSplit,
        Recommendations,
        RegimeMap,
        Sensitivities,
        SharedModel,
        best_recipe,
        best_sources,
        compute_gain,
        loss_given_up,
        map_regimes,
        optimize,
        sensitivities,
        shared_model,
        split_budget,
        swaying_runs,
        worth_records,
    )
    from .planning import Plan, plan
    from .recipe import REGIMES, Recipe
    from .runs import RunTable
    from .stages import Batch

_HOME = {
    "HOLDOUTS": "comparison",
    "REGIMES": "recipe",
    "AveragedRecommendations": "comparison",
    "Batch": "stages",
    "BudgetSplit": "optimization",
    "Coefficient": "laws",
    "Diagnosis": "fitting",
    "Fits": "fitting",
    "Law": "laws",
    "LogSpaceLaw": "laws",
    "M3Error": "_errors",
    "NextRuns": "design",
    "Plan": "planning",
    "Population": "fitting",
    "Prior": "fitting",
    "Profile": "fitting",
    "Recipe": "recipe",
    "Recommendations": "optimization",
    "RegimeMap": "optimization",
    "RunDesign": "design",
    "RunTable": "runs",
    "Score": "comparison",
    "Scores": "comparison",
    "Sensitivities": "optimization",
    "SharedModel": "optimization",
    "best_recipe": "optimization",
    "best_sources": "optimization",
    "compare": "comparison",
    "compute_gain": "optimization",
    "covariance": "fitting",
    "delta_interval": "fitting",
    "design_runs": "design",
    "diagnose": "fitting",
    "fit": "fitting",
    "fit_in_chunks": "fitting.chunks",
    "get_law": "laws",
    "holdout_mask": "comparison",
    "list_laws": "laws",
    "loss_given_up": "optimization",
    "map_regimes": "optimization",
    "next_runs": "design",
    "optimize": "optimization",
    "plan": "planning",
    "profile": "fitting",
    "recommend": "comparison",
    "register_law": "laws",
    "sensitivities": "optimization",
    "shared_model": "optimization",
    "special_case": "laws",
    "split_budget": "optimization",
    "weigh": "comparison",
    "swaying_runs": "optimization",
    "training_plan": "export",
    "worth_records": "optimization",
    "write_export": "export",
}

__all__ = [
    "HOLDOUTS",
    "REGIMES",
    "AveragedRecommendations",
    "Batch",
    "BudgetSplit",
    "Coefficient",
    "Diagnosis",
    "Fits",
    "Law",
    "LogSpaceLaw",
    "M3Error",
    "NextRuns",
    "Plan",
    "Population",
    "Prior",
    "Profile",
    "Recipe",
    "Recommendations",
    "RegimeMap",
    "RunDesign",
    "RunTable",
    "Score",
    "Scores",
    "Sensitivities",
    "SharedModel",
    "__version__",
    "best_recipe",
    "best_sources",
    "compare",
    "compute_gain",
    "covariance",
    "delta_interval",
    "design_runs",
    "diagnose",
    "fit",
    "fit_in_chunks",
    "get_law",
    "holdout_mask",
    "list_laws",
    "loss_given_up",
    "map_regimes",
    "next_runs",
    "optimize",
    "plan",
    "profile",
    "recommend",
    "register_law",
    "sensitivities",
    "shared_model",
    "special_case",
    "split_budget",
    "swaying_runs",
    "training_plan",
    "weigh",
    "worth_records",
    "write_export",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value  # next time without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""`design_runs`: a run sheet for a language that has no runs yet."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import M3Error
from .._progress import Progress
from .._version import __version__
from ..files import write_csv, write_json
from ..fitting import Evidence, fit_without_runs
from ..optimization import optimize
from ..options import DesignOptions, takes
from ._next import next_runs
from ._prospects import likeness_of, ranges_around
from ._reason import limits_of
from ._shapes import DecoderShape, shapes_of, usual_shapes
from ._sheet import SCHEMA_VERSION, NextRuns, check_sheet

# Tokens of an optimiser step, as they grow with the compute of a run: 64K at 1e18 FLOP (rounded
# fits of published small runs, arXiv:2401.02954).
_BATCH_TOKENS, _AT_COMPUTE, _POWER = 65536.0, 1e18, 0.33
_SOUND = 1.3  # times the loss of a likeness of the recipe: dearer runs would teach how to go wrong
_FEWEST_STEPS = 500  # of a run, or the batch is made smaller


@dataclasses.dataclass(frozen=True)
class RunDesign:
    """Small runs to train first, and what they are expected to be worth.

    Attributes:
        runs: what to train, without the repeated ones.
        shapes: of each of them.
        repeated: indices of runs that are trained once more with another seed.
        batch_tokens: tokens of a step of each.
        sequence_length: of the trainer.
        compute, target_tokens: of the recipe to decide on.
    """

    runs: NextRuns
    shapes: tuple[DecoderShape, ...]
    repeated: tuple[int, ...]
    batch_tokens: np.ndarray
    sequence_length: int
    compute: float
    target_tokens: float

    def __len__(self) -> int:
        return len(self.shapes) + len(self.repeated)

    def records(self) -> list[dict[str, Any]]:
        """One row a run: the columns of a run table, `loss` to be filled in, and how to train it.

        `corpus_share` is the part of the target corpus that its unique tokens are.
        """
        rows = []
        for i, row in enumerate(self.runs.records()):
            shape = self.shapes[i]
            batch = max(1, round(self.batch_tokens[i] / self.sequence_length))
            further = {
                "seed": 0,
                "model": shape.name,
                "layers": shape.layers,
                "width": shape.width,
                "heads": shape.heads,
                "n_params_without_embeddings": shape.without_embeddings,
                "sequence_length": self.sequence_length,
                "batch_size": batch,
                "steps": max(1, round(row["total_tokens"] / batch / self.sequence_length)),
                "corpus_share": float(f"{row['target_tokens'] / self.target_tokens:.4g}"),
                "source_tokens": round(row["total_tokens"] * (1 - row["target_ratio"])),
            }
            for seed in range(1 + self.repeated.count(i)):
                name = f"design-{i + 1}" + (f"-seed-{seed}" if seed else "")
                rows.append({**row, **further, "seed": seed, "run_id": name})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        content = self.runs.to_dict()
        return {
            "schema_version": SCHEMA_VERSION,
            "m3jax_version": __version__,
            **content,
            "runs": self.records(),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the sheet to a .csv file, which is a run table once `loss` is filled in, or .json.

        Raises `M3Error` on another ending, or if the file cannot be written.
        """
        check_sheet(path)
        path = Path(path)
        return (
            write_json(path, self.to_dict())
            if path.suffix == ".json"
            else write_csv(path, self.records())
        )


@takes(DesignOptions)
def design_runs(
    *,
    options: DesignOptions,
    language: str = "target",
    evidence: Evidence | None = None,
    progress: Progress | None = None,
) -> RunDesign:
    """Small runs that tell most about the best recipe of a language that has none yet.

    What is known is what public run tables say; the runs are chosen for the regret of this very
    decision, as `next_runs` does: around a likeness of the recipe at their share of the compute,
    which takes a part of the corpus and sees the epochs that the large run would. The cheapest are
    repeated with another seed, for the noise.

    Args:
        options: the fields of `DesignOptions`, each a keyword.
        language: name, for people.
        evidence: by default what ships.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` as `optimize` and `next_runs` do, on repeated runs that leave none, and where
    no shape has a size that the budget allows.
    """
    distinct = options.runs - options.repeats
    if distinct < 1:
        raise M3Error(f"repeats: {options.repeats} of {options.runs} runs leave none to repeat")
    found = Evidence.public() if evidence is None else evidence
    fits = fit_without_runs(
        found, language, draws=options.draws, level=options.level, seed=options.seed
    )
    budget = options.share * options.compute if options.budget is None else options.budget
    limits = limits_of(options, found)
    recommendations = optimize(
        fits,
        compute=options.compute,
        target_tokens=options.target_tokens,
        draws=0,
        **limits,
    )
    share = budget / options.compute / options.runs
    ranges = ranges_around(recommendations.at(0, 0, 0), share)
    shapes = _shapes(options, ranges["n_params"])
    likeness = likeness_of(recommendations.at(0, 0, 0), share)
    most = _SOUND * float(fits.predict_draws(likeness).mean())
    runs = next_runs(
        fits,
        budget=budget * distinct / options.runs,
        runs=distinct,
        compute=options.compute,
        target_tokens=options.target_tokens,
        ranges=dict(ranges),
        noise=found.noise,
        max_loss=most,
        draws=options.draws,
        starts=options.starts,
        seed=options.seed,
        progress=progress,
        run_ladder=[shape.n_params for shape in shapes],
        **limits,
    )
    compute = np.asarray(runs.recipe.compute)
    size = {shape.n_params: shape for shape in shapes}
    own = tuple(size[round(float(n))] for n in np.asarray(runs.recipe.n_params))
    left = budget - float(compute.sum())
    repeated: list[int] = []
    for i in np.argsort(compute):  # the cheapest that together fit into what is left
        if len(repeated) < options.repeats and compute[i] <= left:
            repeated.append(int(i))
            left -= float(compute[i])
    tokens = np.asarray(runs.recipe.total_tokens)
    batch = _BATCH_TOKENS * (compute / _AT_COMPUTE) ** _POWER
    batch = np.clip(batch, options.sequence_length, tokens / _FEWEST_STEPS)
    return RunDesign(
        runs=dataclasses.replace(runs, budget=budget),
        shapes=own,
        repeated=tuple(sorted(repeated)),
        batch_tokens=np.maximum(batch, options.sequence_length),
        sequence_length=options.sequence_length,
        compute=options.compute,
        target_tokens=options.target_tokens,
    )


def _shapes(options: DesignOptions, sizes: tuple[float, float]) -> tuple[DecoderShape, ...]:
    """Those that may be trained, of sizes in a range where the user names none."""
    if options.shapes is not None:
        return shapes_of(options.shapes, options.vocabulary)
    every = usual_shapes(options.vocabulary)
    low, high = sizes
    some = tuple(shape for shape in every if low <= shape.n_params <= high)
    if some:
        return some
    middle = math.sqrt(low * high)
    nearest = min(every, key=lambda shape: abs(math.log(shape.n_params / middle)))
    raise M3Error(
        f"vocabulary {options.vocabulary}: no usual decoder has between {low:.3g} and {high:.3g}"
        f" parameters, embeddings included; the nearest has {nearest.n_params:.3g}. Take a smaller"
        " vocabulary, more budget or fewer runs, or name shapes"
    )

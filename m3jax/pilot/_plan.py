"""What a pilot will do: texts read and checked, runs decided on, a table that is asked to match."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from .._errors import M3Error
from .._version import __version__
from ..recipe import Recipe
from ._corpus import BYTES, Corpus, Encoding, read_text, read_tokenizer, split_pair
from ._design import PilotDesign, from_recipes, space_filling
from ._model import Shape, shapes
from ._table import read_card, read_rows
from ._throughput import flop_per_second
from ._train import Training, precision_for
from ._trial import Trial

_FORMAT = 1  # raised when the same settings would train other models
_SHARE_TRAINING = 0.8  # of the time; the rest is compiling and evaluating

Recipes = Callable[[str], Recipe]


@dataclasses.dataclass(frozen=True, eq=False)
class PilotPlan:
    """Runs to be done, and the texts to do them on. `prepare` makes one, `carry_out` trains it.

    Attributes:
        trials: the runs.
        run_ids: of each run: a digest of everything that decides its result.
        corpora: target and source by language.
        cards: what is known of each language's texts and settings, for the table's card.
        training: how each run is trained.
        precision: "float32" or "bfloat16".
        output: the table's file.
    """

    trials: tuple[Trial, ...]
    run_ids: tuple[str, ...]
    corpora: Mapping[str, tuple[Corpus, Corpus]]
    cards: Mapping[str, Mapping[str, Any]]
    training: Training
    precision: str
    output: Path

    @property
    def compute(self) -> float:
        """Of all runs, FLOP by 6·N·D."""
        return sum(trial.compute for trial in self.trials)

    def groups(self) -> list[dict[str, Any]]:
        """The runs by model size and length, cheapest first: flat dicts."""
        found = []
        for members in by_shape(self.trials):
            first = self.trials[members[0]]
            found.append(
                {
                    "n_params": first.shape.n_params,
                    "total_tokens": first.total_tokens,
                    "steps": first.steps,
                    "batch": first.batch,
                    "runs": len(members),
                    "two_stage": sum(self.trials[i].first_steps > 0 for i in members),
                    "compute": sum(self.trials[i].compute for i in members),
                }
            )
        return found


def prepare(
    targets: Mapping[str, str | os.PathLike[str]],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    budget: float | None = None,
    minutes: float | None = None,
    recipes: Recipes | None = None,
    seeds: int = 3,
    runs: int = 100,
    tokenizer: str | os.PathLike[str] | None = None,
    training: Training | None = None,
    design: PilotDesign | None = None,
    held_out_tokens: int = 65_536,
    max_overlap: float = 0.2,
    precision: str = "auto",
    seed: int = 0,
) -> PilotPlan:
    """Read the texts and decide which runs to do. Writes nothing.

    Args:
        targets: file of scarce text by language.
        source: file of abundant text in another language.
        output: the table, a .csv file; what it holds already is not done again.
        budget: FLOP (6·N·D) for each language.
        minutes: instead of `budget`: as much as this machine does in that time, measured now; a
            table that was begun with as many minutes and runs keeps its budget.
        recipes: instead of both: given a language, the recipes (leaves (n,)) to train.
        seeds: runs of each of `recipes`.
        runs: at most so many runs for each language, within the budget.
        tokenizer: a Hugging Face `tokenizers` file; without one, tokens are bytes.
        training: how each run is trained.
        design: which space the runs are spread over.
        held_out_tokens: of each text, never trained on.
        max_overlap: share of the target text that may be in the source text as well.
        precision: "float32", "bfloat16", or "auto": bfloat16 on accelerators.
        seed: of the design; another one gives other runs.

    Raises `M3Error` on texts that are missing, empty, too short, or overlap; on a table that other
    texts or settings made; on settings out of range.
    """
    training, design, output = training or Training(), design or PilotDesign(), Path(output)
    if output.suffix != ".csv":
        raise M3Error(f"{output}: expected a file name ending in .csv")
    if sum(given is not None for given in (budget, minutes, recipes)) != 1:
        raise M3Error("expected one of a budget, minutes or recipes")
    if not targets:
        raise M3Error("expected at least one target text")
    precision = precision_for(precision)
    _check(training, design, runs, seeds)
    encoding = BYTES if tokenizer is None else read_tokenizer(tokenizer)
    source_text = read_text(source, encoding)
    sizes = shapes(encoding.vocabulary)
    before = read_card(output)

    corpora, cards, trials, run_ids = {}, {}, [], []
    for language, path in targets.items():
        target, abundant, overlap = split_pair(
            read_text(path, encoding),
            source_text,
            length=training.length,
            held_out_tokens=held_out_tokens,
            max_overlap=max_overlap,
            span=encoding.span,
        )
        corpora[language] = target, abundant
        settings = _settings(encoding, target, abundant, training, held_out_tokens, precision)
        _check_same(output, language, settings, before.get(language, {}))
        card: dict[str, Any] = {
            "setup": digest(settings),
            "settings": settings,
            "target": target.summary(),
            "source": abundant.summary(),
            "overlap": overlap,
            "machine": before.get(language, {}).get("machine", _machine()),
        }
        if recipes is not None:
            mine = from_recipes(language, sizes, training, recipes(language), seeds=seeds)
        else:
            asked = {"minutes": minutes, "runs": runs, "seed": seed}
            if minutes is not None:
                earlier = before.get(language, {}).get("plan", {})
                same = {key: earlier.get(key) for key in asked} == asked
                budget = (
                    earlier["budget"]
                    if same
                    else _budget(minutes, runs, sizes, training, precision)
                )
            assert budget is not None
            card["plan"] = {"budget": budget, **asked}
            mine = space_filling(
                language,
                sizes,
                training,
                design,
                budget=budget,
                runs=runs,
                target_windows=len(target.train),
                source_windows=len(abundant.train),
                seed=seed,
            )
        for trial in mine:
            if trial.unique > len(target.train):
                raise M3Error(
                    f"{target.text.path}: {trial.target_tokens} unique target tokens asked for, it"
                    f" has {len(target.train) * training.length} to train on"
                )
        mine = list(dict.fromkeys(mine))
        trials += mine
        run_ids += [f"{language}-{digest([card['setup'], dataclasses.asdict(t)])}" for t in mine]
        cards[language] = card
    return PilotPlan(tuple(trials), tuple(run_ids), corpora, cards, training, precision, output)


def by_shape(trials: Sequence[Trial]) -> list[list[int]]:
    """Places of the runs that can be trained together, the cheapest runs first."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, trial in enumerate(trials):
        key = (trial.compute, trial.shape, trial.batch, trial.steps)
        groups.setdefault(key, []).append(place)
    return [groups[key] for key in sorted(groups)]


def _budget(
    minutes: float, runs: int, sizes: Sequence[Shape], training: Training, precision: str
) -> float:
    """FLOP that this machine does in so many minutes, on models of the size that this leads to."""
    if not 0 < minutes < float("inf"):
        raise M3Error(f"minutes: expected a positive number, got {minutes}")
    shape, budget = sizes[0], 0.0
    for _ in range(2):
        budget = 60 * minutes * _SHARE_TRAINING * flop_per_second(shape, training, precision)
        # Of a run with 12 tokens a parameter.
        typical = (budget / runs / (6 * 12)) ** 0.5
        shape = min(sizes, key=lambda s: abs(s.n_params - typical))
    return budget


def _check(training: Training, design: PilotDesign, runs: int, seeds: int) -> None:
    """Raise `M3Error` on settings that no run can be trained with."""
    rules = {
        "length: expected windows of at least 8 tokens": training.length >= 8,
        "batch: expected at least 1": training.batch >= 1,
        "rate: expected a positive number": 0 < training.rate < math.inf,
        "warmup_fraction: expected 0 to 1": 0 <= training.warmup_fraction <= 1,
        "decay_fraction: expected 0 to 1": 0 <= training.decay_fraction <= 1,
        "compute_span: expected more than 1": 1 < design.compute_span < math.inf,
        "monolingual, two_stage: expected shares that add up to at most 1": (
            min(design.monolingual, design.two_stage) >= 0
            and design.monolingual + design.two_stage <= 1
        ),
        "first_shares: expected 0 <= share < 1": all(0 <= s < 1 for s in design.first_shares),
        # A final stage is to begin while the learning rate is still high.
        f"stage_fraction: expected {training.decay_fraction:g} (decay_fraction) <= low < 1": (
            training.decay_fraction <= design.stage_fraction[0] and design.stage_fraction[1] < 1
        ),
        "target_ratio: expected at most 1": design.target_ratio[1] <= 1,
        "repeat_every: expected at least 2": design.repeat_every >= 2,
        "runs: expected at least 1": runs >= 1,
        "seeds: expected at least 1": seeds >= 1,
    }
    for name in ("tokens_per_param", "target_tokens", "epochs", "target_ratio", "stage_fraction"):
        low, high = getattr(design, name)
        rules[f"{name}: expected 0 < low <= high"] = 0 < low <= high
    for rule, holds in rules.items():
        if not holds:
            raise M3Error(rule)


def _settings(
    encoding: Encoding,
    target: Corpus,
    source: Corpus,
    training: Training,
    held_out_tokens: int,
    precision: str,
) -> dict[str, Any]:
    """What two runs must share to stand in one table, in JSON."""
    return {
        "format": _FORMAT,
        "tokens": encoding.name,
        "target": target.text.digest,
        "source": source.text.digest,
        "held_out_tokens": held_out_tokens,
        "precision": precision,
        **dataclasses.asdict(training),
    }


def _check_same(
    output: Path, language: str, settings: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Raise `M3Error` if the table's runs of this language were made in another way."""
    setup = digest(settings)
    others = [
        row["run_id"]
        for row in read_rows(output)
        if row["language"] == language and row["setup"] != setup
    ]
    if not others:
        return
    earlier = before.get("settings", {})
    told = [f"{k} = {earlier[k]!r}, not {v!r}" for k, v in settings.items()
            if k in earlier and earlier[k] != v]  # fmt: skip
    raise M3Error(
        f"{output}: has runs of {language} made in another way"
        f" ({', '.join(told) or 'run ' + others[0]}); name another output, or go on as before"
    )


def digest(content: Any) -> str:
    """Short: it tells accidents apart, not attacks."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _machine() -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "m3jax": __version__,
        "jax": jax.__version__,
    }

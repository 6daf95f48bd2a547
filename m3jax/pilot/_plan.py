"""What a pilot will do: texts read and checked, runs decided on, a table that is asked to match."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from .._errors import M3Error
from .._version import __version__
from ..files import check_place
from ..options import PilotDesign, PilotOptions, takes
from ._config import recipes_from, seeds_from
from ._corpus import BYTES, Corpus, Encoding, read_text, read_tokenizer, split_pair
from ._design import from_recipes, space_filling
from ._model import Shape, shapes
from ._table import card_path, read_card, read_rows
from ._throughput import flop_per_second
from ._train import Training, precision_for
from ._trial import Trial

_FORMAT = 1  # raised when the same settings would train other models
_SHARE_TRAINING = 0.8  # of the time; the rest is compiling and evaluating


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
        groups = []
        for members in by_shape(self.trials):
            first = self.trials[members[0]]
            groups.append(
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
        return groups


@takes(PilotOptions)
def prepare(
    targets: Mapping[str, str | os.PathLike[str]],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    options: PilotOptions,
    training: Training | None = None,
    design: PilotDesign | None = None,
) -> PilotPlan:
    """Read the texts and decide which runs to do. Writes nothing.

    Args:
        targets: file of scarce text by language.
        source: file of abundant text in another language.
        output: the table, a .csv file; what it holds already is not done again.
        options: the fields of `PilotOptions`, each a keyword.
        training: how each run is trained.
        design: which space the runs are spread over.

    Raises `M3Error` on an output that cannot be written; on texts that are missing, empty, too
    short, or overlap; on a table that other texts or settings made; on settings out of range.
    """
    training, design, output = training or Training(), design or PilotDesign(), Path(output)
    if output.suffix != ".csv":
        raise M3Error(f"{output}: expected a file name ending in .csv")
    for place in (output, card_path(output)):
        check_place(place)
    amounts = (options.budget, options.minutes, options.recipes)
    if sum(amount is not None for amount in amounts) != 1:
        raise M3Error("expected one of a budget, minutes or recipes")
    if not targets:
        raise M3Error("expected at least one target text")
    for language in targets:
        if not language.strip() or language != language.strip():
            raise M3Error(f"language {language!r}: expected a name without blanks around it")
    if not training.decay_fraction <= design.stage_fraction[0]:
        # A final stage is to begin while the learning rate is still high.
        raise M3Error(
            f"stage_fraction: expected {training.decay_fraction:g} (decay_fraction) <= low, got"
            f" {design.stage_fraction[0]:g}"
        )
    recipes, own_seeds = options.recipes, None
    if isinstance(recipes, str | os.PathLike):
        own_seeds = seeds_from(recipes)
        recipes = recipes_from(recipes)
    tokenizer, held_out_tokens = options.tokenizer, options.held_out_tokens
    precision = precision_for(options.precision)
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
            max_overlap=options.max_overlap,
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
            seeds = (own_seeds and own_seeds(language)) or options.seeds
            planned = from_recipes(language, sizes, training, recipes(language), seeds=seeds)
        else:
            amount = {"minutes": options.minutes, "runs": options.runs, "seed": options.seed}
            budget = options.budget
            if options.minutes is not None:
                earlier = before.get(language, {}).get("plan", {})
                same = {key: earlier.get(key) for key in amount} == amount
                budget = (
                    earlier["budget"]
                    if same
                    else _budget(options.minutes, options.runs, sizes, training, precision)
                )
            assert budget is not None
            card["plan"] = {"budget": budget, **amount}
            planned = space_filling(
                language,
                sizes,
                training,
                design,
                budget=budget,
                runs=options.runs,
                target_windows=len(target.train),
                source_windows=len(abundant.train),
                seed=options.seed,
            )
        for trial in planned:
            if trial.unique > len(target.train):
                raise M3Error(
                    f"{target.text.path}: {trial.target_tokens} unique target tokens asked for, it"
                    f" has {len(target.train) * training.length} to train on"
                )
        planned = list(dict.fromkeys(planned))
        trials += planned
        run_ids += [
            f"{language}-{digest([card['setup'], dataclasses.asdict(trial)])}" for trial in planned
        ]
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
    shape, budget = sizes[0], 0.0
    for _ in range(2):
        budget = 60 * minutes * _SHARE_TRAINING * flop_per_second(shape, training, precision)
        # Of a run with 12 tokens a parameter.
        typical = (budget / runs / (6 * 12)) ** 0.5
        shape = min(sizes, key=lambda s: abs(s.n_params - typical))
    return budget


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
    changes = [f"{k} = {earlier[k]!r}, not {v!r}" for k, v in settings.items()
            if k in earlier and earlier[k] != v]  # fmt: skip
    raise M3Error(
        f"{output}: has runs of {language} made in another way"
        f" ({', '.join(changes) or 'run ' + others[0]}); name another output, or go on as before"
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

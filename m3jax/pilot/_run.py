"""Carry a plan out: train what its table lacks, and add each ensemble's runs as it is finished."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from .._version import __version__
from ..computing import keep_compiled
from ._corpus import Corpus
from ._plan import PilotPlan, by_shape
from ._table import Row, add_rows, add_to_card, read_rows
from ._throughput import ensemble_size, program_count
from ._train import stage_tokens, train
from ._trial import reading_order


@dataclasses.dataclass(frozen=True)
class PilotResult:
    """What a pilot did.

    Attributes:
        output: the table.
        planned: runs in the plan.
        trained: runs trained now.
        kept: runs that were finished before.
        diverged: run_ids without a finite loss, which are not in the table.
        noise: by language, the standard deviation of log loss between seeds; None without repeats.
        repeats: by language, the degrees of freedom of that.
        overlap: by language, the share of the target text that is in the source text as well.
        seconds: this call took.
    """

    output: Path
    planned: int
    trained: int
    kept: int
    diverged: tuple[str, ...]
    noise: Mapping[str, float | None]
    repeats: Mapping[str, int]
    overlap: Mapping[str, float]
    seconds: float


def carry_out(
    plan: PilotPlan,
    *,
    ensemble: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PilotResult:
    """Train the runs of a plan that its table does not hold yet, and add each as it is finished.

    `ensemble` runs of one shape and length are trained as one program, and `workers` programs at a
    time; by default one run on each core of a CPU, and elsewhere one ensemble that fills the device
    (see `benchmarks/pilot.py`). The table is rewritten, whole or not at all, after each ensemble:
    to stop at any moment loses what is in training, and a second call ends with the same table.
    Raises `M3Error` if the table cannot be written; what it held stays.
    """
    keep_compiled()
    progress, began, output = progress or silent, time.monotonic(), plan.output
    # First of all: a folder that cannot be written to is no place to train for.
    add_to_card(output, plan.cards)
    finished = {row["run_id"] for row in read_rows(output)}
    order = {run_id: place for place, run_id in enumerate(plan.run_ids)}
    missing = _missing(plan, finished, ensemble)
    todo = sum(len(members) for members in missing)
    trained, diverged = 0, []
    if missing:
        staged, meter = _Staged.of(plan.corpora), _Meter(plan, missing, progress)
        with ThreadPoolExecutor(workers or program_count()) as pool:
            jobs = {
                pool.submit(_train_members, plan, staged, members, partial(meter.tell, number)):
                members
                for number, members in enumerate(missing)
            }  # fmt: skip
            try:
                for job in as_completed(jobs):
                    rows = job.result()
                    add_rows(output, rows, order)
                    trained += len(rows)
                    new = {row["run_id"] for row in rows}
                    diverged += [plan.run_ids[i] for i in jobs[job] if plan.run_ids[i] not in new]
            except BaseException:
                meter.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    noise = seed_noise(read_rows(output))
    return PilotResult(
        output=output,
        planned=len(plan.trials),
        trained=trained,
        kept=len(plan.trials) - todo,
        diverged=tuple(sorted(diverged, key=order.__getitem__)),
        noise={name: noise.get(name, (None, 0))[0] for name in plan.corpora},
        repeats={name: noise.get(name, (None, 0))[1] for name in plan.corpora},
        overlap={name: float(card["overlap"]) for name, card in plan.cards.items()},
        seconds=time.monotonic() - began,
    )


def _missing(plan: PilotPlan, finished: set[str], ensemble: int | None) -> list[list[int]]:
    """Places of the runs to be done, those to be trained as one program together.

    Ensembles are cut from the whole plan: what is finished does not change who trains with whom.
    """
    missing = []
    for group in by_shape(plan.trials):
        size = ensemble or ensemble_size(plan.trials[group[0]].batch, plan.training.length)
        for first in range(0, len(group), size):
            members = [i for i in group[first : first + size] if plan.run_ids[i] not in finished]
            if members:
                missing.append(members)
    return missing


class _Stopped(Exception):
    """Ends a worker whose result nobody waits for."""


class _Meter:
    """Adds up the progress of programs that train at the same time, and can end them."""

    def __init__(
        self, plan: PilotPlan, missing: Sequence[Sequence[int]], progress: Progress
    ) -> None:
        # In GFLOP, as whole numbers.
        self.size = [
            sum(max(round(plan.trials[i].compute / 1e9), 1) for i in members) for members in missing
        ]
        self.done = [0] * len(self.size)
        self.progress, self.lock, self.stopped = progress, threading.Lock(), False
        progress("training", 0, sum(self.size))

    def tell(self, number: int, step: int, steps: int) -> None:
        """Program `number` has done so many of its steps. Raises if all are to end."""
        with self.lock:
            if self.stopped:
                raise _Stopped
            self.done[number] = self.size[number] * step // steps
            self.progress("training", sum(self.done), sum(self.size))

    def stop(self) -> None:
        """Let every program end at the next steps it tells of."""
        self.stopped = True


@dataclasses.dataclass(frozen=True, eq=False)
class _Staged:
    """All texts in one array on the device, and where each begins there."""

    tokens: jax.Array
    begins: Mapping[int, int]

    @classmethod
    def of(cls, corpora: Mapping[str, tuple[Corpus, Corpus]]) -> _Staged:
        texts = {id(part.text): part.text for pair in corpora.values() for part in pair}
        lengths = [len(text.tokens) for text in texts.values()]
        if sum(lengths) >= 2**30:
            raise M3Error(f"the texts have {sum(lengths)} tokens, expected less than 2^30 in all")
        begins = np.cumsum([0, *lengths[:-1]]).tolist()
        tokens = np.concatenate([text.tokens for text in texts.values()])
        return cls(stage_tokens(tokens), dict(zip(texts, begins, strict=True)))

    def starts(self, corpus: Corpus, windows: np.ndarray) -> np.ndarray:
        return windows + self.begins[id(corpus.text)]


def _train_members(
    plan: PilotPlan, staged: _Staged, members: Sequence[int], progress: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Train some runs of one shape and length together; the rows of those that did not diverge."""
    trials = [plan.trials[i] for i in members]
    shape, steps = trials[0].shape, trials[0].steps
    pairs = [plan.corpora[trial.language] for trial in trials]
    losses = train(
        shape,
        plan.training,
        staged.tokens,
        [
            reading_order(
                trial, staged.starts(target, target.train), staged.starts(source, source.train)
            )
            for trial, (target, source) in zip(trials, pairs, strict=True)
        ],
        [plan.training.rates(shape, steps)] * len(trials),
        [trial.seed for trial in trials],
        {
            "loss": [staged.starts(target, target.held_out) for target, _ in pairs],
            "source_loss": [staged.starts(source, source.held_out) for _, source in pairs],
        },
        precision=plan.precision,
        progress=progress,
    )
    return [
        {
            "run_id": plan.run_ids[place],
            "language": trial.language,
            "n_params": shape.n_params,
            "target_tokens": trial.target_tokens,
            "epochs": trial.epochs,
            "target_ratio": trial.target_ratio,
            "final_ratio": trial.final_ratio,
            "first_ratio": trial.first_ratio,
            "total_tokens": trial.total_tokens,
            "loss": f"{losses['loss'][i]:.6f}",
            "seed": trial.seed,
            "source_loss": f"{losses['source_loss'][i]:.6f}",
            "learning_rate": f"{plan.training.peak_rate(shape):.6g}",
            "steps": steps,
            "batch": trial.batch,
            "length": trial.length,
            "layers": shape.layers,
            "width": shape.width,
            "precision": plan.precision,
            "setup": plan.cards[trial.language]["setup"],
            "m3jax_version": __version__,
            "device": jax.devices()[0].device_kind,
        }
        for i, (place, trial) in enumerate(zip(members, trials, strict=True))
        if math.isfinite(losses["loss"][i])
    ]


def seed_noise(rows: Sequence[Row]) -> dict[str, tuple[float, int]]:
    """By language, the standard deviation of log loss between seeds, and its degrees of freedom.

    Pooled over the recipes that were done with several seeds.
    """
    same: dict[tuple[str, ...], list[float]] = {}
    recipe = (
        "language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio",
        "first_ratio", "setup",
    )  # fmt: skip
    for row in rows:
        logs = same.setdefault(tuple(row[name] for name in recipe), [])
        logs.append(math.log(float(row["loss"])))
    pooled: dict[str, tuple[float, int]] = {}
    for key, logs in same.items():
        if len(logs) > 1:
            squares, freedom = pooled.get(key[0], (0.0, 0))
            squares += float(np.var(logs)) * len(logs)
            pooled[key[0]] = squares, freedom + len(logs) - 1
    return {name: (math.sqrt(s / freedom), freedom) for name, (s, freedom) in pooled.items()}

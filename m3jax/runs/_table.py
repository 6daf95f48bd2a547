"""The run table: read it, check it, group it by language, pad it to one batch."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt

from .._errors import M3Error, setting
from .._views import Views, drawn
from ..formatting import count, flop, quantity, quoted
from ..options import TableOptions, names_in, takes
from ..recipe import Recipe
from ._columns import Columns
from ._recipes import read_recipes
from ._remarks import alike_names, bits, copies, perplexities
from ._rows import chosen_rows, highest, left_out
from .readers import name_of, numbered, read_raw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class RunBatch:
    """The runs of L languages, padded to one shape (L, n_max): what a batched fit takes.

    Padding repeats the language's first run, so that laws stay finite, with weight 0 and mask
    False. `n_max` comes from a short list of sizes, so that similar tables share compiled code.

    Attributes:
        recipe: leaves (L, n_max), float64.
        loss: (L, n_max), nats per token.
        weight: (L, n_max), 0 on padding.
        cluster: (L, n_max) int32; runs that share a run_id share it, from 0 in each language.
        mask: (L, n_max) bool, True on real runs.
        languages: L names.
    """

    recipe: Recipe
    loss: Array
    weight: Array
    cluster: Array
    mask: Array
    languages: tuple[str, ...] = dataclasses.field(metadata={"static": True})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RunTable(Views):
    """Checked training runs on the host, one entry per run. Build it with `read` or `from_frame`.

    Attributes:
        language: (n,) str, "all" where the table has no such column.
        run_id: (n,) str; rows that share it within a language are checkpoints of one run.
        recipe: NumPy float64 leaves (n,).
        loss: (n,) nats per token on held-out target text.
        weight: (n,) finite, >= 0.
        seed: (n,) with NaN for no seed, or None where the table has no such column.
        row: (n,) row in the source, the first row after the header being 1.
        source: file name, or "<table>".
        notes: what the reader decided on the way, in sentences.
        reading: the options it was read with, but for defaults; keywords of `read`.
    """

    language: Array
    run_id: Array
    recipe: Recipe
    loss: Array
    weight: Array
    seed: Array | None
    row: Array
    source: str
    notes: tuple[str, ...] = ()
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    @takes(TableOptions)
    def read(cls, path: str | os.PathLike[str], *, options: TableOptions) -> RunTable:
        """Read and check a file of one of the formats of `readers`, or standard input for "-".

        Args:
            path: of the file.
            options: the fields of `TableOptions`, each a keyword.

        Raises `M3Error`, naming file, row and column, on anything that breaks the run table's
        rules: nothing is guessed and no row left out beyond what `notes` says.
        """
        raw = read_raw(Path(path))
        runs = _build(raw.frame, name_of(Path(path)), options)
        return dataclasses.replace(runs, notes=(*raw.notes, *runs.notes))

    @classmethod
    @takes(TableOptions)
    def from_frame(
        cls, frame: pd.DataFrame, *, options: TableOptions, source: str = "<table>"
    ) -> RunTable:
        """The same from a DataFrame, a named index being columns. Raises as `read`.

        Args:
            frame: of raw cells.
            options: the fields of `TableOptions`, each a keyword.
            source: the name that errors give it.
        """
        return _build(numbered(frame), source, options)

    @classmethod
    def of(cls, runs: RunTable | Any) -> RunTable:
        """A run table as it is, or made of a DataFrame: pandas', or one that gives its columns.

        Raises `M3Error` as `from_frame` does, and on what is neither.
        """
        import pandas as pd

        if isinstance(runs, cls):
            return runs
        if not isinstance(runs, pd.DataFrame) and hasattr(runs, "to_dict"):
            runs = pd.DataFrame(runs.to_dict(as_series=False))  # polars
        if not isinstance(runs, pd.DataFrame):
            raise M3Error(f"runs: expected a RunTable or a DataFrame, got {type(runs).__name__}")
        return cls.from_frame(runs)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def languages(self) -> tuple[str, ...]:
        """Language names in order of first appearance."""
        return tuple(dict.fromkeys(self.language.tolist()))

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that tell these runs from others: all columns, all rows."""
        text = hashlib.blake2b(digest_size=5)
        for column in (*jax.tree.leaves(self.recipe), self.loss, self.weight):
            text.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
        text.update("\0".join((*self.language, *self.run_id)).encode(errors="replace"))
        return text.hexdigest()

    def summary(self) -> str:
        """What the table holds, in a line."""
        recipe, two = self.recipe, int(np.count_nonzero(np.asarray(self.recipe.is_two_stage)))
        sizes = "–".join(count(end) for end in (recipe.n_params.min(), recipe.n_params.max()))
        stages = f", {two} of them with two stages" if two else ""
        return (
            f"{quantity(len(self), 'run')}{stages}, of {quoted(self.languages, most=4)}; {sizes}"
            f" parameters, up to {flop(float(recipe.compute.max()))} FLOP ({self.source})"
        )

    def brief_frame(self) -> pd.DataFrame:
        """The first rows."""
        return self.to_frame().head(5)

    def plot(self) -> Figure:
        """The losses against each variable that varies. Raises `M3Error` without matplotlib."""
        return drawn(self)

    def select(self, mask: npt.ArrayLike) -> RunTable:
        """The runs where the boolean `mask` (n,) is True. Raises `M3Error` on another shape."""
        mask = np.asarray(mask)
        if mask.shape != self.loss.shape or mask.dtype != np.bool_:
            raise M3Error(
                f"select: expected a boolean mask of shape {self.loss.shape}, "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        return self.take(np.flatnonzero(mask))

    def take(self, rows: Array, *, language: Array | None = None) -> RunTable:
        """Runs by row (m,), any number of times each; under other `language` names, if given."""
        return dataclasses.replace(
            self,
            language=self.language[rows] if language is None else language,
            run_id=self.run_id[rows],
            recipe=jax.tree.map(lambda leaf: leaf[rows], self.recipe),
            loss=self.loss[rows],
            weight=self.weight[rows],
            seed=None if self.seed is None else self.seed[rows],
            row=self.row[rows],
        )

    def for_language(self, name: str) -> RunTable:
        """The runs of one language. Raises `M3Error` for a language the table does not have."""
        self._check_languages([name])
        return self.select(self.language == name)

    def drop_highest(self, count: int) -> RunTable:
        """Without the `count` highest losses of the whole table, and with a note of it.

        Raises `M3Error` if `count` is negative or leaves no runs.
        """
        out = highest(self.loss, count, self.source)
        if count == 0:
            return self
        note = left_out(
            "drop_highest", self.row, {f"loss of {self.loss[out].min():.6g} and above": out}
        )
        earlier = self.reading.get("drop_highest", 0)
        return dataclasses.replace(
            self.select(~out),
            notes=(*self.notes, note),
            reading={**self.reading, "drop_highest": earlier + count},
        )

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame of the run table's columns, in its units, which `from_frame` reads back."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "language": self.language,
                "run_id": self.run_id,
                **vars(self.recipe),
                "loss": self.loss,
                "weight": self.weight,
            }
        )
        if self.seed is not None:
            frame["seed"] = self.seed
        return frame

    def batch(self, *, languages: str | Iterable[str] | None = None) -> RunBatch:
        """The runs of `languages` (default all, in order of appearance), padded to one shape.

        Raises `M3Error` for languages that are unknown or named twice, or if there are none.
        """
        known = self.languages
        names = known if languages is None else names_in(languages)
        self._check_languages(names)
        if not names or len(set(names)) < len(names):
            raise M3Error(f"{self.source}: batch: expected each language once, got {list(names)}")

        # Rows sorted by language; `slot` is a row's place among its language's runs.
        position = {name: i for i, name in enumerate(names)}
        of_row = np.array([position.get(name, -1) for name in self.language.tolist()])
        order = np.argsort(of_row, kind="stable")
        order = order[of_row[order] >= 0]
        group = of_row[order]
        counts = np.bincount(group, minlength=len(names))
        starts = np.cumsum(counts) - counts
        slot = np.arange(len(order)) - starts[group]

        pick = np.tile(order[starts][:, None], (1, _padded(int(counts.max()))))
        pick[group, slot] = order
        mask = np.arange(pick.shape[1]) < counts[:, None]
        cluster = np.zeros(len(self), dtype=np.int32)
        cluster[order] = _clusters(group, _codes(self.run_id[order]))
        return RunBatch(
            recipe=jax.tree.map(lambda leaf: leaf[pick], self.recipe),
            loss=self.loss[pick],
            weight=np.where(mask, self.weight[pick], 0.0),
            cluster=cluster[pick],
            mask=mask,
            languages=names,
        )

    def _check_languages(self, names: Iterable[str]) -> None:
        known = self.languages
        for name in names:
            if name not in known:
                raise M3Error(f"{self.source}: no language {name!r}, it has {quoted(known)}")


def _padded(count: int) -> int:
    """The smallest of 8, 12, 16, 20, 24, 28, 32, 40, 48, ... that holds `count` runs.

    From 16 on there are four sizes to each doubling: few shapes to compile, little padding.
    """
    if count <= 16:
        return 8 if count <= 8 else 12 if count <= 12 else 16
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


def _codes(values: Array) -> Array:
    """Each value's index among the distinct ones, in order of first appearance."""
    index = {value: i for i, value in enumerate(dict.fromkeys(values.tolist()))}
    return np.array([index[value] for value in values.tolist()])


def _clusters(group: Array, run: Array) -> Array:
    """Runs numbered from 0 inside each group; rows with the same group and run share a number."""
    width = run.max() + 1
    pairs, number = np.unique(group * width + run, return_inverse=True)
    return number - np.searchsorted(pairs, group * width)


def _build(frame: pd.DataFrame, source: str, options: TableOptions) -> RunTable:
    """Check a raw frame, its index being row numbers, against the contract."""
    raw = Columns(frame, source, options)
    for name in ("n_params", "loss"):
        if name not in raw:
            raise raw.missing(name)
    table, left_out_notes = chosen_rows(raw, options)
    recipe, notes = read_recipes(table)
    weight, language = table.number_or("weight", 1.0), table.text("language")
    language = np.full(len(table), "all", dtype=object) if language is None else language
    _check_weights(table, language, weight)
    loss = table.number_or("loss", np.nan)
    row, run_id = table.frame.index.to_numpy(), table.text("run_id")
    runs = RunTable(
        language=language,
        run_id=np.array(row.astype(str), dtype=object) if run_id is None else run_id,
        recipe=recipe,
        loss=loss,
        weight=weight,
        seed=table.number("seed"),
        row=row,
        source=source,
        reading=options.chosen(),
    )
    _check_repeats(runs, table)
    as_nats = () if "loss" in options.units else (table.column["loss"],)
    odd = [
        *(note for own in as_nats for note in (*perplexities(loss, row, own), *bits(own))),
        *alike_names(runs.languages),
        *copies(runs.language, recipe, loss, row),
    ]
    return dataclasses.replace(runs, notes=(*table.notes, *left_out_notes, *notes, *odd))


def _check_weights(table: Columns, language: Array, weight: Array) -> None:
    """Raise for languages without a row of positive weight."""
    for name in sorted(set(language) - set(language[weight > 0])):
        raise M3Error(
            f"{table.source}, language {name!r}, column {table.column['weight']!r}: "
            "found only weights of 0, expected at least one positive"
        )


def _check_repeats(runs: RunTable, table: Columns) -> None:
    """Raise for rows alike in all but the loss."""
    import pandas as pd

    known = {"language": _codes(runs.language), **vars(runs.recipe)}
    if "run_id" in table:
        known["run_id"] = _codes(runs.run_id)
    if runs.seed is not None:
        known["seed"] = runs.seed
    keys = pd.DataFrame(known)
    repeat = keys.duplicated().to_numpy()
    copy = keys.assign(loss=runs.loss).duplicated().to_numpy()
    conflicts = np.flatnonzero(repeat & ~copy)
    if len(conflicts):
        later = conflicts[0]
        alike = keys.groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
        earlier = np.flatnonzero(alike == alike[later])[0]
        more = f", and {quantity(len(conflicts) - 1, 'more row')} like it"
        raise M3Error(
            f"{runs.source}, rows {runs.row[earlier]} and {runs.row[later]}, "
            f"column {table.column['loss']!r}: found {runs.loss[earlier]:.6g} and "
            f"{runs.loss[later]:.6g} for what reads as one run, expected one loss"
            f"{more if len(conflicts) > 1 else ''}. Repeats of a recipe need a 'seed' or "
            f"'run_id' column that tells them apart; {setting('keep_best')} keeps the lowest loss. "
            "(Rows count from 1, without the header.)"
        )

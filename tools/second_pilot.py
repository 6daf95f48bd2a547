"""The recipes of `configs/pilot_debian_2.toml`: what the first pilot's spread could not tell apart.

    python -m tools.second_pilot configs/pilot_debian_2.csv SHEET.csv ...

Sweeps in which one variable moves and the others stay, at 1.6e5 to 1.3e6 parameters: epochs, the
ratio before the final stage, that stage's length, the target ratio at one compute and corpus. The
runs of further sheets (of `m3jax next` and `m3jax design`) are mixed in. Rows stand in the order in
which they are best trained: a table cut off anywhere has some of every sweep in every language.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, product

from m3jax.files import csv_text, write_text

COLUMNS = (
    "language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio",
    "seed", "sweep",
)  # fmt: skip
LANGUAGES = ("German", "Japanese", "Indonesian", "French", "Portuguese", "Chinese")
TWICE = ("German", "Japanese")  # twice the runs: of these two the first pilot left most open
SOURCE = 2_500_000  # bytes of source text, each to be read once at most
SMALL, MIDDLE, LARGE, LARGEST = 164_288, 467_808, 820_352, 1_271_200
SHORT, LONG = 2**19 - 2**10, 2**20  # tokens trained on; at 2^19 batches change
LEAST = 200_000  # tokens of a run: some 400 steps
FEWEST = 8_192  # unique target tokens
SEEDS = 5

Row = dict[str, str | float]


def row(
    language: str, sweep: str, seed: int, n_params: int, total: int, ratio: float, *,
    epochs: float = 0.0, corpus: float = 0.0, first: float | None = None, fraction: float = 1.0,
) -> Row:  # fmt: skip
    """A run by its corpus or its epochs; with a ratio before it, a final stage of that fraction."""
    first = ratio if first is None else first
    corpus = corpus or ratio * total / epochs
    return {
        "language": language, "n_params": n_params, "target_tokens": round(corpus),
        "epochs": ratio * total / round(corpus), "target_ratio": ratio,
        "final_ratio": first + (ratio - first) / fraction, "first_ratio": first, "seed": seed,
        "sweep": sweep,
    }  # fmt: skip


def of_epochs(language: str, place: int, half: int) -> Iterator[Row]:
    """12, 28 and 64 epochs at three sizes: of the nine cells six, the others in other languages."""
    sizes = ((SMALL, LONG), (MIDDLE, LONG), (LARGE, SHORT))
    for (i, (n_params, total)), (j, epochs) in product(enumerate(sizes), enumerate((12, 28, 64))):
        if (i + j + place + half) % 3:
            ratio = (0.3, 0.8)[(i + j + half) % 2]
            ratio = min(max(ratio, epochs * FEWEST / total), 1.0)
            yield row(language, "epochs", 100 + half, n_params, total, ratio, epochs=epochs)


def of_first_ratios(language: str, place: int, half: int) -> Iterator[Row]:
    """The ratio before the final stage from 0 to r, at one r and one r_f."""
    del place
    ratio, final = ((0.3, 0.75), (0.5, 0.9))[half]
    for n_params, total, shares in (
        (SMALL, LONG, (0.0, 1 / 3, 2 / 3, 0.85, 1.0)),
        (MIDDLE, SHORT, (0.0, 0.5, 1.0)),
    ):
        for share in shares:
            first = share * ratio
            yield row(
                language, "first_ratio", 200 + half, n_params, total, ratio, epochs=4, first=first,
                fraction=(ratio - first) / (final - first) if share < 1 else 1.0,
            )  # fmt: skip


def of_stages(language: str, place: int, half: int) -> Iterator[Row]:
    """Final stages of 5 to 50%: at one average ratio, and with one ratio in them."""
    del place
    first = (0.05, 0.0)[half]
    for fraction in (0.05, 0.1, 0.2, 0.35, 0.5):
        ratio = first + 0.05 * (1 - first)
        yield row(
            language, "stage", 300 + half, SMALL, LONG, ratio, epochs=4, first=first,
            fraction=fraction,
        )  # fmt: skip
    first, final = ((0.2, 0.9), (0.1, 0.6))[half]
    for fraction in (0.05, 0.2, 0.5):
        yield row(
            language, "stage", 310 + half, MIDDLE, SHORT, first + (final - first) * fraction,
            corpus=65_536, first=first, fraction=fraction,
        )  # fmt: skip


def of_one_compute(language: str, place: int, half: int) -> Iterator[Row]:
    """Recipes to choose from: one compute and one corpus, ratios, stages and sizes differ."""
    del place
    if half:
        return
    given = {"corpus": 49_152.0}
    yield row(language, "choice", 400, MIDDLE, LONG, 0.15, **given)
    yield row(language, "choice", 400, MIDDLE, LONG, 0.5, **given)
    yield row(language, "choice", 400, MIDDLE, LONG, 0.25, **given, first=0.05, fraction=0.25)
    yield row(language, "choice", 400, SMALL, LONG * MIDDLE // SMALL, 0.3, **given)


def of_spread(language: str, place: int, half: int) -> Iterator[Row]:
    """A run of 1e13 FLOP, other in every language, and two smaller ones."""
    ratio = (0.1, 0.7, 0.2, 0.4)[(place + half) % 4]
    yield row(language, "spread", 510 + half, 357_024, SHORT, ratio, epochs=2)
    if not half:
        ratio = (0.6, 0.15, 0.35, 0.8, 0.25, 0.5)[place]
        epochs = (8.0, 3.0, 16.0, 4.0, 6.0, 2.0)[place]
        total = 1_310_720
        stage = {"first": 0.2 * ratio, "fraction": ratio} if place % 2 else {}
        yield row(language, "spread", 500, LARGEST, total, ratio, epochs=epochs, **stage)
    yield row(language, "spread", 520 + half, 246_240, LONG, 1.0, epochs=(3, 8)[half])


def of_seeds(rows: Iterable[Row]) -> Iterator[Row]:
    """Further seeds of a recipe in each language: noise by size, stages and epochs."""
    places = {
        "Indonesian": ("first_ratio", SMALL, lambda r: r["first_ratio"] == r["target_ratio"]),
        "Chinese": ("first_ratio", SMALL, lambda r: r["first_ratio"] == 0),
        "Japanese": ("first_ratio", MIDDLE, lambda r: r["first_ratio"] == 0),
        "German": ("stage", SMALL, lambda r: r["final_ratio"] > 0.99),
        "French": ("epochs", MIDDLE, lambda r: r["epochs"] > 20),
        "Portuguese": ("choice", MIDDLE, lambda r: r["first_ratio"] < r["target_ratio"]),
    }
    for language, (sweep, n_params, chosen) in places.items():
        first = next(
            r for r in rows if r["language"] == language and r["sweep"] == sweep
            and r["n_params"] == n_params and chosen(r)
        )  # fmt: skip
        for further in range(1, SEEDS):
            yield first | {"seed": int(first["seed"]) + 10_000 * further, "sweep": "seeds"}


def proposed(path: str) -> Iterator[Row]:
    """The rows of a sheet that are more than a beginning and need no source text twice."""
    with open(path, encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file)):
            total = float(line["total_tokens"])
            if total >= LEAST and (1 - float(line["target_ratio"])) * total <= SOURCE:
                seed = 600 + 2 * number + int(line.get("seed") or 0)
                yield {name: line[name] for name in COLUMNS[:7]} | {
                    "seed": seed, "sweep": "proposed",
                }  # fmt: skip


def sheet(further: Iterable[str] = ()) -> list[Row]:
    """All rows, in the order of training."""
    lists = [
        list(sweep(language, place, half))
        for sweep in (of_first_ratios, of_stages, of_epochs, of_one_compute, of_spread)
        for half in (0, 1)
        for place, language in enumerate(LANGUAGES)
        if not half or language in TWICE
    ]
    lists += [list(proposed(path)) for path in further]
    again = list(of_seeds(list(chain(*lists))))
    lists += [[r for r in again if r["language"] == language] for language in LANGUAGES]
    # The golden ratio's multiples: whatever the length, any beginning is spread over the list.
    placed = [((i + 1) * 0.6180339887 % 1, r) for rows in lists for i, r in enumerate(rows)]
    return [r for _, r in sorted(placed, key=lambda one: one[0])]


def main(arguments: list[str] | None = None) -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", help="the sheet, a .csv file")
    parser.add_argument("sheets", nargs="*", help="of further runs, a .csv file each")
    options = parser.parse_args(arguments)
    rows = [
        {name: f"{v:.8g}" if isinstance(v, float) else v for name, v in r.items()}
        for r in sheet(options.sheets)
    ]
    write_text(options.output, csv_text(rows, COLUMNS))
    compute = sum(6 * float(r["n_params"]) * float(r["target_tokens"]) * float(r["epochs"])
                  / float(r["target_ratio"]) for r in rows)  # fmt: skip
    print(f"{len(rows)} runs, {compute:.3g} FLOP, in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

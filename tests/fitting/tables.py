"""Made-up tables of runs, good ones and ones with everything that can be wrong."""

import dataclasses

import jax
import numpy as np
import pandas as pd

from m3jax import Recipe, RunTable, diagnose, fit, get_law

NOISE = 0.004


LARGE = np.tile([1.6e8, 6.4e8], 30)


CHINCHILLA = {"E": 1.8, "A": 400.0, "alpha": 0.34, "B": 1500.0, "beta": 0.36}


M3 = {
    **CHINCHILLA, "gamma": 0.05, "eta": 0.01, "P": 0.0004, "delta": 1.2, "kappa": 0.5, "omega": 0.5,
    "theta": 0.3, "R": 20.0, "tau": 0.2,
}  # fmt: skip


def frame(language, seed, n=60, law="chinchilla", **columns):
    """Noisy runs that determine everything; `columns` replaces some of theirs."""
    rng = np.random.default_rng(seed)
    two = rng.random(n) < 0.4
    ratio = np.where(rng.random(n) < 0.3, 1.0, np.exp(rng.uniform(np.log(0.1), 0.0, n)))
    values = {
        "n_params": rng.choice([1e7, 4e7, 1.6e8, 6.4e8], n),
        "target_tokens": rng.choice([1e7, 1e8, 1e9], n),
        "epochs": np.exp(rng.uniform(np.log(0.5), np.log(40.0), n)),
        "target_ratio": ratio,
    } | columns
    if "target_ratio" not in columns:
        values["final_ratio"] = np.where(two, np.minimum(2.5 * ratio, 1.0), ratio)
        if law == "chinchilla" or columns.get("final_ratio") == "same":
            values["final_ratio"] = ratio
    table = pd.DataFrame(values)
    recipe = Recipe.create(**{c: table[c].to_numpy(dtype=float) for c in table})
    with jax.enable_x64(True):
        loss = np.asarray(get_law(law).loss(CHINCHILLA if law == "chinchilla" else M3, recipe))
    return table.assign(
        language=language,
        run_id=[f"{language}-{i}" for i in range(n)],
        loss=loss * np.exp(NOISE * rng.standard_normal(n)),
    )


def odd():
    table = frame("odd", 11)
    table.loc[17, "loss"] *= 1.06
    return table


def trend():
    table = frame("trend", 12)
    table.loc[table.epochs > 10, "loss"] *= 1.012
    return table


def lonely():
    return frame("lonely", 13, n_params=np.where(np.arange(60) == 5, 1e6, LARGE))


def together():
    size = np.repeat([1e7, 3e7, 1e8, 3e8, 1e9], 12)
    return frame("together", 14, n_params=size, target_tokens=20 * size, epochs=1.0, target_ratio=1)


def doubled():
    """The first half of the runs twice, as two checkpoints with one and the same error."""
    table = frame("doubled", 15)
    again = table.iloc[:30].assign(seed=1)
    return pd.concat([table.assign(seed=0), again])


@dataclasses.dataclass(frozen=True)
class Case:
    runs: RunTable
    fits: object
    found: dict


def case(frames, law, **options):
    runs = RunTable.from_frame(pd.concat(frames), source="runs.csv")
    fits = fit(runs, law, huber_delta=0.004, **{"draws": 0, "starts": 8} | options)
    return Case(runs, fits, diagnose(fits, runs))


def told(case, language):
    return " | ".join(case.found[language].verdicts)


def noisy_runs(n=40, seed=0, **held):
    """Noisy Chinchilla-like runs of one language, columns overridden by `held`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "n_params": 10 ** rng.uniform(7, 9, n),
            "target_tokens": 10 ** rng.uniform(7, 9, n),
            "epochs": 10 ** rng.uniform(0, 1.5, n),
            "target_ratio": 10 ** rng.uniform(-1.3, 0, n),
        }
    ).assign(**held)
    frame["final_ratio"] = frame.target_ratio
    d = frame.epochs * frame.target_tokens / frame.target_ratio
    loss = (1.8 + 400 * frame.n_params**-0.34 + 1000 * d**-0.36) * frame.target_ratio**-0.05
    text = frame.target_tokens * (1 + 0.3 * frame.epochs * (1 / frame.target_ratio - 1))
    penalty = 0.02 * frame.epochs**0.7 * (frame.n_params / 1e8) ** 0.3 * (text / 1e8) ** -0.5
    loss = loss + penalty * frame.final_ratio**0.5
    return RunTable.from_frame(frame.assign(loss=loss * np.exp(0.003 * rng.standard_normal(n))))

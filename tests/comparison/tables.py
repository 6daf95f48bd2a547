"""Made-up runs and a small law that tests of this folder share."""

import pandas as pd

from m3jax import Coefficient, Law, RunTable

POWER = Law(
    name="power",
    coefficients=(
        Coefficient("a", (0.5, 10.0), (1e-3, 1e3), log=True, neutral=1.0),
        Coefficient("b", (0.0, 0.3), (-1.0, 2.0)),
    ),
    function=lambda c, recipe: c["a"] * (recipe.n_params / 1e8) ** -c["b"],
    variables=("n_params",),
)
FEW = {"starts": 2}


def table(**columns) -> RunTable:
    """Runs that differ in `columns` alone."""
    frame = pd.DataFrame(columns)
    rest = {
        "n_params": 1e8,
        "target_tokens": 1e8,
        "epochs": 4.0,
        "target_ratio": 0.5,
        "run_id": [f"run{i}" for i in range(len(frame))],
        "loss": 3.0,
    }
    missing = {name: value for name, value in rest.items() if name not in frame}
    return RunTable.from_frame(frame.assign(**missing))

"""What a law is: named coefficients and a pure function of coefficients and recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from .._errors import M3Error
from ..options import names_in
from ..recipe import Array, Recipe
from ..variables import RUN_VARIABLES

LossFunction = Callable[[Mapping[str, Array], Recipe], Array]


@dataclasses.dataclass(frozen=True)
class Coefficient:
    """One coefficient of a law.

    Attributes:
        name: as in the formula, ASCII.
        start: range (low, high) that a fit draws its starting values from.
        bounds: range (low, high) the coefficient must stay in.
        log: fit the logarithm; for coefficients that are positive and span orders of magnitude.
        neutral: value that takes the coefficient's effect away, or the usual one where there is
            none; a coefficient that the runs cannot determine is frozen there.
        needs: the members of `RUN_VARIABLES` that must vary in the runs to determine it. "epochs"
            counts as varying only beyond one epoch, "final_ratio" only where it differs from the
            ratio, "first_ratio" only if two-stage runs differ in its share of the ratio.
        meaning: a few words, with the unit.
    """

    name: str
    start: tuple[float, float]
    bounds: tuple[float, float]
    log: bool = False
    neutral: float = 0.0
    needs: tuple[str, ...] = ()
    meaning: str = ""

    def __post_init__(self) -> None:
        low, high = self.bounds
        object.__setattr__(self, "needs", names_in(self.needs))
        if not low <= self.start[0] <= self.start[1] <= high:
            raise M3Error(
                f"coefficient {self.name}: start {self.start} leaves bounds {self.bounds}"
            )
        if not low <= self.neutral <= high:
            raise M3Error(f"coefficient {self.name}: neutral {self.neutral} leaves {self.bounds}")
        if self.log and low <= 0:
            raise M3Error(f"coefficient {self.name}: log=True needs positive bounds, got {low}")
        unknown = set(self.needs) - set(RUN_VARIABLES)
        if unknown:
            raise M3Error(
                f"coefficient {self.name}: needs {sorted(unknown)}, known: {RUN_VARIABLES}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Law:
    """A scaling law: `loss(coefficients, recipe)`, elementwise and unreduced.

    A corpus read in part is a smaller corpus: loss(D_T, k < 1) = loss(k·D_T, 1) for every law,
    because `function` is only ever shown `Recipe.as_read`. A recipe is further taken to be better
    for more unique text at the same number of target tokens seen; the search for the best one
    counts on it.

    A fit works on the vector `theta` of shape (p,): the coefficients in order, logarithms where
    `Coefficient.log` says so. Everything here is pure and safe under `jit`, `vmap` and `grad`.
    Laws compare by identity, so that they can be static arguments of compiled functions.

    Attributes:
        name: the registry's key.
        coefficients: in order; where two cannot be told apart the earlier one is kept.
        function: `(coefficients by name, recipe) -> loss` in nats per token.
        variables: the members of `RUN_VARIABLES` the loss depends on.
        formula, source: for people.
        published: coefficient sets from the literature, by label.
    """

    name: str
    coefficients: tuple[Coefficient, ...]
    function: LossFunction
    variables: tuple[str, ...] = ("n_params", "total_tokens")
    formula: str = ""
    source: str = ""
    published: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", names_in(self.variables))
        if len(set(self.names)) != len(self.names):
            raise M3Error(f"law {self.name}: coefficient names repeat: {self.names}")
        unknown = set(self.variables) - set(RUN_VARIABLES)
        if unknown:
            raise M3Error(f"law {self.name}: variables {sorted(unknown)}, known: {RUN_VARIABLES}")

    @property
    def names(self) -> tuple[str, ...]:
        """Coefficient names in the order of `theta`."""
        return tuple(c.name for c in self.coefficients)

    def loss(self, coefficients: Mapping[str, Array], recipe: Recipe) -> Array:
        """Loss in nats per token, of the shape coefficients and recipe broadcast to."""
        return self.function(coefficients, recipe.as_read())

    def log_loss_theta(self, theta: Array, recipe: Recipe) -> Array:
        """Logarithm of the loss for one coefficient vector `theta` of shape (p,)."""
        return self.log_loss_of({n: theta[..., i] for i, n in enumerate(self.names)}, recipe)

    def log_loss_of(self, theta: Mapping[str, Array], recipe: Recipe) -> Array:
        """Logarithm of the loss, from the entries of `theta` by name."""
        coefficients = {
            c.name: jnp.exp(theta[c.name]) if c.log else theta[c.name] for c in self.coefficients
        }
        return jnp.log(self.loss(coefficients, recipe))

    def from_theta(self, theta: Array) -> dict[str, Array]:
        """Coefficients by name from vectors of shape (..., p)."""
        parts = [theta[..., i] for i in range(len(self.coefficients))]
        return {
            c.name: jnp.exp(part) if c.log else part
            for c, part in zip(self.coefficients, parts, strict=True)
        }

    def to_theta(self, coefficients: Mapping[str, Array]) -> Array:
        """Vector of shape (..., p) from coefficients by name. Raises `M3Error` on a wrong name."""
        if set(coefficients) != set(self.names):
            raise M3Error(
                f"law {self.name}: expected coefficients {', '.join(self.names)}, "
                f"got {', '.join(coefficients)}"
            )
        parts = [
            jnp.log(coefficients[c.name]) if c.log else jnp.asarray(coefficients[c.name])
            for c in self.coefficients
        ]
        return jnp.stack(jnp.broadcast_arrays(*parts), axis=-1)

    def theta_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of `theta`, each of shape (p,)."""
        return self._column("bounds", 0), self._column("bounds", 1)

    def theta_start(self) -> tuple[np.ndarray, np.ndarray]:
        """Range of starting values of `theta`, low and high, each of shape (p,)."""
        return self._column("start", 0), self._column("start", 1)

    def theta_neutral(self) -> np.ndarray:
        """Values of `theta` at which undetermined coefficients are frozen, shape (p,)."""
        return np.array(
            [np.log(c.neutral) if c.log else c.neutral for c in self.coefficients], dtype=np.float64
        )

    def _column(self, field: str, side: int) -> np.ndarray:
        values = [getattr(c, field)[side] for c in self.coefficients]
        return np.array(
            [np.log(v) if c.log else v for c, v in zip(self.coefficients, values, strict=True)],
            dtype=np.float64,
        )

    def centre(self, recipe: Recipe) -> np.ndarray | None:
        """A (p, p) matrix M with theta = M @ centred theta, or None where nothing is gained.

        Amplitudes quoted at one parameter and one token are far outside the runs, and so
        correlate with their exponents almost perfectly; a law that can quote them at the middle of
        the runs instead says how.
        """
        return None

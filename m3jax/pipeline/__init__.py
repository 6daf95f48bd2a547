"""`m3jax run`: from a configuration to fits, recipes and a report."""

from ._config import RunConfig, read_config
from ._run import RunResult, run

__all__ = ["RunConfig", "RunResult", "read_config", "run"]

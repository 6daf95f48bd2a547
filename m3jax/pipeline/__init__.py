"""`m3jax run`: from a configuration to fits, recipes and a report."""

from ._config import RunConfig, read_config
from ._run import RunResult, run
from ._template import config_for

__all__ = ["RunConfig", "RunResult", "config_for", "read_config", "run"]

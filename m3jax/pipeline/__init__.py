"""`m3jax run`: from a configuration to fits, recipes and a report."""

from ._config import Config, read_config
from ._pipeline import PipelineResult, run

__all__ = [
    "Config",
    "PipelineResult",
    "read_config",
    "run",
]

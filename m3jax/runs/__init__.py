"""The run table: read it, check it, group it by language, pad it to one batch."""

from ._columns import Columns
from ._recipes import read_recipes
from ._table import RunBatch, RunTable

__all__ = ["Columns", "RunBatch", "RunTable", "read_recipes"]

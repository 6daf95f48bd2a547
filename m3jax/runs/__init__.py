"""The run table: read it, check it, group it by language, pad it to one batch."""

from ._columns import Columns
from ._far_end import FAR_END, far_end
from ._recipes import read_recipes
from ._table import RunBatch, RunTable

__all__ = ["FAR_END", "Columns", "RunBatch", "RunTable", "far_end", "read_recipes"]

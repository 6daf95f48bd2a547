"""Recommendations as files other programs read: tables, plans and trainers' data mixtures."""

from ._export import check_format, export_texts, write_export
from ._plan import SCHEMA_VERSION, UNITS, training_plan, write_plan, write_recipes
from .formats import FORMATS, to_yaml

__all__ = [
    "FORMATS",
    "SCHEMA_VERSION",
    "UNITS",
    "check_format",
    "export_texts",
    "to_yaml",
    "training_plan",
    "write_export",
    "write_plan",
    "write_recipes",
]

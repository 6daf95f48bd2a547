"""Fitting a law to run tables: many languages, starts and bootstrap draws in one batch."""

from ._fit import fit
from ._fits import SCHEMA_VERSION, Fits, interval, predict
from ._objective import huber
from ._scope import Scope

__all__ = ["SCHEMA_VERSION", "Fits", "Scope", "fit", "huber", "interval", "predict"]

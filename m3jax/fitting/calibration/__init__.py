"""How far to trust a fit beyond its runs, learnt from hold-outs inside them."""

from ._calibrate import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]

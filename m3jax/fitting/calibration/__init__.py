"""How far to trust a fit beyond its runs, learnt from hold-outs inside them."""

from ._calibrate import Calibration, Noise, calibrate, common_scales, even_noise
from ._holdouts import HeldOutRuns, held_out_runs, hold_outs
from ._scales import draw_scales, posterior_scales, prior_scales

__all__ = [
    "Calibration",
    "HeldOutRuns",
    "Noise",
    "calibrate",
    "common_scales",
    "draw_scales",
    "even_noise",
    "held_out_runs",
    "hold_outs",
    "posterior_scales",
    "prior_scales",
]

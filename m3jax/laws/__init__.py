"""Laws and their registry. A new law is one new file and one line here."""

from __future__ import annotations

from .._errors import M3Error, suggestion
from ..variables import RUN_VARIABLES
from ._base import Coefficient, Law
from ._log_space import LogSpaceLaw, log_dilution
from ._special_case import special_case
from .adaptive_transfer import ADAPTIVE_TRANSFER
from .additive_mixture import ADDITIVE_MIXTURE
from .bounded import BOUNDED
from .chinchilla import CHINCHILLA, CHINCHILLA_TIED
from .cmr import CMR
from .d_cpt import D_CPT
from .data_constrained import DATA_CONSTRAINED
from .effective_data import EFFECTIVE_DATA
from .kaplan import KAPLAN
from .m3 import M3, M3_NO_REPETITION, M3_ONE_STAGE
from .m3_effective import M3_EFFECTIVE
from .m3_posynomial import M3_POSYNOMIAL
from .m3_stages import M3_STAGES
from .mixture_repetition import MIXTURE_REPETITION
from .multilingual import MULTILINGUAL
from .overfit_penalty import OVERFIT_PENALTY

__all__ = [
    "RUN_VARIABLES",
    "Coefficient",
    "Law",
    "LogSpaceLaw",
    "get_law",
    "list_laws",
    "log_dilution",
    "register_law",
    "special_case",
]

_REGISTRY: dict[str, Law] = {}


def register_law(law: Law, *, overwrite: bool = False) -> Law:
    """Make `law` known by its name to `fit`, `compare`, `optimize` and the command line.

    Returns the law. Raises `M3Error` if the name is taken and `overwrite` is false.
    """
    if law.name in _REGISTRY and not overwrite:
        raise M3Error(f"law {law.name!r} is registered already; pass overwrite=True to replace it")
    _REGISTRY[law.name] = law
    return law


def get_law(law: str | Law) -> Law:
    """The law of that name (a `Law` is returned as is). Raises `M3Error` on an unknown name."""
    if isinstance(law, Law):
        return law
    if law not in _REGISTRY:
        raise M3Error(f"unknown law {law!r}; {suggestion(str(law), list_laws())}")
    return _REGISTRY[law]


def list_laws() -> tuple[str, ...]:
    """Names of all registered laws."""
    return tuple(_REGISTRY)


for _law in (
    M3,
    M3_POSYNOMIAL,
    M3_STAGES,
    M3_EFFECTIVE,
    M3_ONE_STAGE,
    M3_NO_REPETITION,
    KAPLAN,
    CHINCHILLA,
    CHINCHILLA_TIED,
    DATA_CONSTRAINED,
    OVERFIT_PENALTY,
    BOUNDED,
    MULTILINGUAL,
    ADAPTIVE_TRANSFER,
    MIXTURE_REPETITION,
    ADDITIVE_MIXTURE,
    D_CPT,
    CMR,
    EFFECTIVE_DATA,
):
    register_law(_law)

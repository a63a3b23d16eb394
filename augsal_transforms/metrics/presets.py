"""Presets: the definitions that each benchmark uses. They differ by more than the leading models do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MATLAB_EPS = 2.0**-52
PYTHON_EPS = 2.2204e-16  # as it is typed in pysaliency and in the paper's code: log ε differs by 2e-5


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The choices in which benchmarks differ.

    Attributes:
        repeats: ``True`` if a pixel that was fixated twice counts twice, ``False`` if it counts once.
        minmax: ``True`` if SIM and IG subtract each map's minimum before they scale it to a sum of 1.
        kld_eps: ε of KLD, in the logarithm and in the quotient.
        ig_eps: ε of IG, inside the logarithms. With 0, IG is −∞ if a fixated pixel has no density.
        ddof: Degrees of freedom that the standard deviation of NSS subtracts: it divides by n − ddof.
        judd: Points of AUC-Judd's curve: one for each distinct fixated ``"value"`` or, as in MATLAB's code, one for
            each fixated ``"pixel"``, where equal values are taken one by one.
        thresholds: Number of equally spaced thresholds of AUC-Borji and sAUC between the map's minimum and maximum;
            ``None`` makes every value a threshold.
        borji_negatives: Random pixels of AUC-Borji: their number, for ``"each"`` fixated pixel or for ``"all"``.
        sauc_negatives: Negatives of sAUC; ``"alone"`` leaves out the pixels that were fixated in this image too.
        unpublished: Names of the metrics that the benchmark computes by code that is not public. MIT's stand in.
    """

    repeats: bool
    minmax: bool
    kld_eps: float
    ig_eps: float
    ddof: Literal[0, 1]
    judd: Literal["value", "pixel"]
    thresholds: int | None
    borji_negatives: tuple[Literal["each", "all"], int]
    sauc_negatives: Literal[
        "fixations in other images", "pixels fixated in other images", "pixels fixated in other images alone"
    ]
    unpublished: tuple[str, ...] = ()


MIT_MATLAB = Preset(
    repeats=False,
    minmax=True,
    kld_eps=MATLAB_EPS,
    ig_eps=MATLAB_EPS,
    ddof=1,
    judd="pixel",
    thresholds=10,
    borji_negatives=("each", 100),
    sauc_negatives="pixels fixated in other images",
)
# The code released with the paper, itself a port of MIT's. Departs from it: no jitter, no off-by-one in
# AUC-Judd (1.6e-5), and sAUC reads the pixels that it means to read.
AUGSAL = Preset(
    repeats=False,
    minmax=True,
    kld_eps=PYTHON_EPS,
    ig_eps=MATLAB_EPS,
    ddof=1,
    judd="pixel",
    thresholds=10,
    borji_negatives=("each", 100),
    sauc_negatives="pixels fixated in other images",
)
TUEBINGEN = Preset(
    repeats=True,
    minmax=False,
    kld_eps=PYTHON_EPS,
    ig_eps=0.0,
    ddof=0,
    judd="value",
    thresholds=None,
    borji_negatives=("each", 100),
    sauc_negatives="fixations in other images",
)
# AUC (which is Borji's), sAUC, NSS and CC follow the public code of 2015. That code drops every mouse point that
# does not occur twice; here all fixations that are given count.
SALICON = Preset(
    repeats=True,
    minmax=True,
    kld_eps=MATLAB_EPS,
    ig_eps=MATLAB_EPS,
    ddof=0,
    judd="value",
    thresholds=100,
    borji_negatives=("all", 100_000),
    sauc_negatives="pixels fixated in other images alone",
    unpublished=("sim", "kld", "ig"),
)
PRESETS = {"salicon": SALICON, "tuebingen": TUEBINGEN, "mit_matlab": MIT_MATLAB, "augsal": AUGSAL}


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]

"""What each benchmark means by a metric: one name, several definitions that differ by more than leading models do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MATLAB_EPS = 2.0**-52
PYTHON_EPS = 2.2204e-16  # as it is typed in pysaliency and in the paper's code: log ε differs by 2e-5


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Where benchmarks differ.

    Attributes:
        repeats: Whether a pixel that was fixated twice counts twice; else it counts once.
        minmax: Whether SIM and IG subtract each map's minimum before they scale it to a sum of 1.
        kld_eps: ε of KLD, in the logarithm and in the quotient.
        ig_eps: ε of IG, inside the logarithms; without one IG is −∞ where a fixated pixel has no density.
        ddof: NSS divides by a standard deviation with n − ddof.
        judd: AUC-Judd's curve has a point for each fixated ``"value"``, or, as in MATLAB, for each fixated
            ``"pixel"``, of which those of equal value are taken one by one.
        levels: AUC-Borji and sAUC see the map in so many levels, as from thresholds 1 / levels apart;
            ``None``: every value is a threshold.
        negatives: How many random pixels AUC-Borji draws, ``each`` of the fixated pixels or in ``all``.
        others: What sAUC's negatives are; ``"alone"`` leaves out the pixels that were fixated in this image too.
        unpublished: Metrics that the benchmark computes by code that is not public; here they are MIT's.
    """

    repeats: bool
    minmax: bool
    kld_eps: float
    ig_eps: float
    ddof: Literal[0, 1]
    judd: Literal["value", "pixel"]
    levels: int | None
    negatives: tuple[Literal["each", "all"], int]
    others: Literal[
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
    levels=10,
    negatives=("each", 100),
    others="pixels fixated in other images",
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
    levels=10,
    negatives=("each", 100),
    others="pixels fixated in other images",
)
TUEBINGEN = Preset(
    repeats=True,
    minmax=False,
    kld_eps=PYTHON_EPS,
    ig_eps=0.0,
    ddof=0,
    judd="value",
    levels=None,
    negatives=("each", 100),
    others="fixations in other images",
)
# AUC (which is Borji's), sAUC, NSS and CC as in the public code of 2015, on all fixations that are given: that
# code drops every point of the mouse that was not met twice.
SALICON = Preset(
    repeats=True,
    minmax=True,
    kld_eps=MATLAB_EPS,
    ig_eps=MATLAB_EPS,
    ddof=0,
    judd="value",
    levels=100,
    negatives=("all", 100_000),
    others="pixels fixated in other images alone",
    unpublished=("sim", "kld", "ig"),
)
PRESETS = {"salicon": SALICON, "tuebingen": TUEBINGEN, "mit_matlab": MIT_MATLAB, "augsal": AUGSAL}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]


def definitions(preset: str) -> dict[str, str]:
    """Every metric's definition under a preset, by the name of its function: what to print beside a number."""
    p = find_preset(preset)
    counted = "each fixation counts" if p.repeats else "each fixated pixel counts once"
    density = "less its minimum, scaled to a sum of 1" if p.minmax else "scaled to a sum of 1"
    thresholds = f"thresholds {1 / p.levels:g} apart" if p.levels else "exact"
    drawn = f"{p.negatives[1]} random pixels" + (" for each fixated pixel" if p.negatives[0] == "each" else "")
    area = "area under the ROC curve"
    words = {
        "cc": "Pearson's correlation over pixels",
        "sim": f"sum of the smaller of both maps, each {density}",
        "kld": "KL(map ‖ prediction) in nats, each scaled to a sum of 1, "
        f"ε = {p.kld_eps:.8g} in logarithm and quotient",
        "nss": f"mean at fixations of the prediction in standard deviations (n − {p.ddof}); {counted}",
        "auc_judd": f"{area}, fixations against pixels without one, a threshold for each fixated {p.judd}, "
        f"no jitter; {counted}",
        "auc_tuebingen": f"{area}, fixations against all pixels, exact; {counted}",
        "auc_borji": f"{area}, fixations against {drawn}, {thresholds}; {counted}",
        "sauc": f"{area}, fixations against all {p.others}, {thresholds}; {counted}",
        "ig": f"mean at fixations of log₂ (ε + prediction) − log₂ (ε + baseline), each {density}, "
        f"ε = {p.ig_eps:.8g}; {counted}",
    }
    return words | {name: f"{words[name]} (MIT's; the benchmark's own code is not public)" for name in p.unpublished}

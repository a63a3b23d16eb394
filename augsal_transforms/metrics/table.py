"""The one table of metrics. Scoring, reports and their definitions read it: a new metric is one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from augsal_transforms.metrics.functions import auc_borji, auc_judd, auc_tuebingen, cc, ig, kld, nss, sauc, sim
from augsal_transforms.metrics.presets import find_preset

Truth = Literal["saliency_map", "fixation_map", "other_map", "baseline"]
_ROC = "area under the ROC curve, fixations against"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A row of the table.

    Attributes:
        title: Name for people, as papers print it.
        function: ``function(prediction, *needs, preset=…)``, and ``seed=…`` if it is ``seeded``.
        needs: Names of the function's arguments after ``prediction``, in its order: the image's own
            ``"saliency_map"`` or ``"fixation_map"``; from the other images of the data set ``"other_map"``, a map of
            their fixations, or ``"baseline"``, their mean density.
        higher_is_better: ``False`` for divergences.
        definition: The definition in words. In braces: the preset's phrases, see ``definitions``.
        seeded: ``True`` if the function draws random pixels.
        infinite: Explanation of an infinite score and what to do, if there can be one.
    """

    title: str
    function: Callable[..., Tensor]
    needs: tuple[Truth, ...]
    definition: str
    higher_is_better: bool = True
    seeded: bool = False
    infinite: str = ""

    def score(self, prediction: Tensor, truths: Mapping[Truth, Tensor], *, preset: str, seed: int = 0) -> Tensor:
        """The metric of predictions.

        Args:
            prediction: (..., H, W).
            truths: Maps by the names in ``needs``, shaped as the function asks; others are ignored.
            preset: Name of a preset.
            seed: Seed of the random pixels; unused unless the metric is ``seeded``.

        Returns:
            (...,) float64 on the CPU; NaN where the metric is undefined.
        """
        arguments = (truths[name] for name in self.needs)
        return self.function(prediction, *arguments, preset=preset, **({"seed": seed} if self.seeded else {}))


METRICS: dict[str, Metric] = {
    "cc": Metric(title="CC", function=cc, needs=("saliency_map",), definition="Pearson's correlation over pixels"),
    "sim": Metric(
        title="SIM",
        function=sim,
        needs=("saliency_map",),
        definition="sum of the smaller of both maps, each {density}",
    ),
    "kld": Metric(
        title="KLD",
        function=kld,
        needs=("saliency_map",),
        higher_is_better=False,
        definition="KL(map ‖ prediction) in nats, each scaled to a sum of 1, ε = {kld_eps} in logarithm and quotient",
    ),
    "nss": Metric(
        title="NSS",
        function=nss,
        needs=("fixation_map",),
        definition="mean at fixations of the prediction in standard deviations (n − {ddof}); {counted}",
    ),
    "auc_judd": Metric(
        title="AUC-Judd",
        function=auc_judd,
        needs=("fixation_map",),
        definition=f"{_ROC} pixels without one, a threshold for each fixated {{judd}}, no jitter; {{counted}}",
    ),
    "auc_tuebingen": Metric(
        title="AUC",
        function=auc_tuebingen,
        needs=("fixation_map",),
        definition=f"{_ROC} all pixels, exact; {{counted}}",
    ),
    "auc_borji": Metric(
        title="AUC-Borji",
        function=auc_borji,
        needs=("fixation_map",),
        seeded=True,
        definition=f"{_ROC} {{borji_negatives}}, {{thresholds}}; {{counted}}",
    ),
    "sauc": Metric(
        title="sAUC",
        function=sauc,
        needs=("fixation_map", "other_map"),
        definition=f"{_ROC} all {{sauc_negatives}}, {{thresholds}}; {{counted}}",
    ),
    "ig": Metric(
        title="IG",
        function=ig,
        needs=("fixation_map", "baseline"),
        infinite="−inf where the prediction is 0 at a fixated pixel, +inf where the baseline, the mean density of the "
        "other images, is; for −inf add a small constant to the predictions; for +inf, or both, choose a preset whose "
        "ε is above 0, such as mit_matlab",
        definition="mean at fixations of log₂ (ε + prediction) − log₂ (ε + baseline), each {density}, "
        "ε = {ig_eps}; {counted}",
    ),
}


def definitions(preset: str) -> dict[str, str]:
    """The definition of every metric under a preset, by the metric's name; to be printed beside each number."""
    rules = find_preset(preset)
    each, count = rules.borji_negatives
    phrases = {
        "counted": "each fixation counts" if rules.repeats else "each fixated pixel counts once",
        "density": "less its minimum, scaled to a sum of 1" if rules.minmax else "scaled to a sum of 1",
        "thresholds": f"thresholds {1 / rules.thresholds:g} apart" if rules.thresholds else "exact",
        "borji_negatives": f"{count} random pixels" + (" for each fixated pixel" if each == "each" else ""),
        "sauc_negatives": rules.sauc_negatives,
        "judd": rules.judd,
        "ddof": str(rules.ddof),
        "kld_eps": f"{rules.kld_eps:.8g}",
        "ig_eps": f"{rules.ig_eps:.8g}",
    }
    stand_in = dict.fromkeys(rules.unpublished, " (MIT's; the benchmark's own code is not public)")
    return {name: metric.definition.format(**phrases) + stand_in.get(name, "") for name, metric in METRICS.items()}

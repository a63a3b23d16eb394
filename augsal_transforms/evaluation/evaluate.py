"""Predictions of a data set's images against its maps and fixations: every metric, image by image and on average."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from augsal_transforms import metrics
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.evaluation.leave_one_out import FixationDataset, OtherImages, read_sample
from augsal_transforms.evaluation.models import Predict
from augsal_transforms.metrics.table import definitions


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of some predictions on some data.

    Attributes:
        predictions: Whose they are.
        data: Which images.
        edition: Of the data; SALICON's of 2015 and 2017 have the same images and other fixations.
        preset: Whose definitions.
        fixations: How many there are in all.
        scores: By image, then by metric; NaN where a metric is undefined.
    """

    predictions: str
    data: str
    edition: str
    preset: str
    fixations: int
    scores: dict[str, dict[str, float]]

    def mean(self, metric: str) -> tuple[float, int]:
        """The mean over the images of which a metric is defined, and the number of those of which it is not."""
        values = [scores[metric] for scores in self.scores.values()]
        defined = [value for value in values if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan, len(values) - len(defined)

    def table(self) -> str:
        """The means as text, each beside its definition."""
        lines = [
            f"{self.predictions} on {self.data}, edition {self.edition}: "
            f"{len(self.scores)} images, {self.fixations} fixations; definitions of {self.preset!r}"
        ]
        for metric, definition in definitions(self.preset).items():
            value, undefined = self.mean(metric)
            left_out = f"undefined for {undefined}; " if undefined else ""
            lines.append(f"{metric:13s} {value:8.4f}  {left_out}{definition}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything, undefined values as null and infinite ones as text."""
        means = {}
        for metric, definition in definitions(self.preset).items():
            value, undefined = self.mean(metric)
            means[metric] = {"mean": _plain(value), "undefined": undefined, "definition": definition}
        head = {name: getattr(self, name) for name in ("predictions", "data", "edition", "preset", "fixations")}
        images = {name: {m: _plain(x) for m, x in scores.items()} for name, scores in self.scores.items()}
        return json.dumps({**head, "metrics": means, "images": images}, indent=2, allow_nan=False) + "\n"


def evaluate(
    predict: Predict,
    dataset: FixationDataset,
    *,
    preset: str = "tuebingen",
    predictions: str = "predictions",
    data: str = "data",
    edition: str = "not given",
    progress: Callable[[Sequence[str]], Any] = iter,
) -> Evaluation:
    """Score predictions, at the size of each image.

    Args:
        predict: ``predict(name, image)`` → map (1, h, w); ``run_model`` and ``read_predictions`` make one.
            Maps of another size are resized bilinearly, antialiased.
        dataset: Images, maps and fixations. It is read twice: sAUC and IG need all images' before the first.
        preset: Whose definitions.
        predictions: What to call the predictions.
        data: What to call the data.
        edition: Which edition of the data it is.
        progress: Goes through the images' names, as ``tqdm`` does.
    """
    others = OtherImages(dataset)
    scores, fixations = {}, 0
    for index, name in enumerate(progress(dataset.names)):
        image, saliency_map, fixation_map = read_sample(dataset, index)
        prediction = resize(predict(name, image), (image.shape[-2], image.shape[-1]))
        scores[name] = score(prediction, saliency_map, fixation_map, others, preset=preset, seed=index)
        fixations += int(fixation_map.sum())
    return Evaluation(
        predictions=predictions, data=data, edition=edition, preset=preset, fixations=fixations, scores=scores
    )


def score(
    prediction: Tensor, saliency_map: Tensor, fixation_map: Tensor, others: OtherImages, *, preset: str, seed: int
) -> dict[str, float]:
    """All metrics of one prediction; maps are (1, H, W)."""
    fixated = (prediction, fixation_map)
    values = {
        **{m: getattr(metrics, m)(prediction, saliency_map, preset=preset) for m in ("cc", "sim", "kld")},
        **{m: getattr(metrics, m)(*fixated, preset=preset) for m in ("nss", "auc_judd", "auc_tuebingen")},
        "auc_borji": metrics.auc_borji(*fixated, seed=seed, preset=preset),
        "sauc": metrics.sauc(*fixated, others.fixation_map(fixation_map), preset=preset),
        "ig": metrics.ig(*fixated, others.baseline(saliency_map), preset=preset),
    }
    return {name: value.item() for name, value in values.items()}


def _plain(value: float) -> float | str | None:
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)

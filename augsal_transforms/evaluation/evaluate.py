"""Score predictions of a data set's images against its maps and fixations: every metric, per image and on average."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.evaluation.leave_one_out import FixationDataset, LeaveOneOut, Sample, read_sample
from augsal_transforms.evaluation.models import Predict, UnreadablePredictionError, check_prediction
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.metrics.presets import find_preset
from augsal_transforms.metrics.table import METRICS, Truth, definitions

_LISTED = 5  # failures that the table names; the JSON has all


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of predictions on a data set.

    Attributes:
        predictions: Name of the predictions.
        data: Name of the data.
        edition: Edition of the data; SALICON's of 2015 and 2017 have the same images and other fixations.
        preset: Name of the preset whose definitions were used.
        fixations: Number of fixations on all images that were scored.
        left_out: Number of their fixations that lie outside the image or have no coordinates.
        scores: Scores by image, then by metric; NaN where a metric is undefined.
        failures: Reason by image, for the images that could not be read.
    """

    predictions: str
    data: str
    edition: str
    preset: str
    fixations: int
    scores: dict[str, dict[str, float]]
    left_out: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def mean(self, metric: str) -> tuple[float, int]:
        """The mean over the images for which a metric is defined, and the number of images for which it is not."""
        values = [scores[metric] for scores in self.scores.values()]
        defined = [value for value in values if not math.isnan(value)]
        return sum(defined) / len(defined) if defined else math.nan, len(values) - len(defined)

    def table(self) -> str:
        """The means as text, each beside its definition; then what was left out, and why a mean is infinite."""
        lines = [
            f"{self.predictions} on {self.data}, edition {self.edition}: "
            f"{len(self.scores)} images, {self.fixations} fixations; definitions of {self.preset!r}"
        ]
        for metric, definition in definitions(self.preset).items():
            value, undefined = self.mean(metric)
            left_out = f"undefined for {undefined}; " if undefined else ""
            arrow = "↑" if METRICS[metric].higher_is_better else "↓"
            lines.append(f"{metric:13s} {arrow} {value:8.4f}  {left_out}{definition}")
        return "\n".join([*lines, *self._notes()])

    def _notes(self) -> list[str]:
        notes = []
        for name, metric in METRICS.items():
            values = [scores[name] for scores in self.scores.values()]
            counts = [f"{sign} for {values.count(value)}" for sign, value in (("−inf", -math.inf), ("+inf", math.inf))]
            if infinite := sum(math.isinf(value) for value in values):
                share = f"{infinite} of {len(values)} images ({', '.join(counts)})"
                notes.append(f"{name} is infinite for {share}: {metric.infinite}.")
        if self.left_out:
            notes.append(f"{self.left_out} fixations outside their image, or without coordinates, were left out.")
        if self.failures:
            notes.append(f"{len(self.failures)} images could not be read and were left out:")
            notes += [f"  {name}: {reason}" for name, reason in list(self.failures.items())[:_LISTED]]
        if len(self.failures) > _LISTED:
            notes.append(f"  and {len(self.failures) - _LISTED} more, all in the JSON report")
        return notes

    def to_json(self) -> str:
        """All numbers as JSON: undefined values as null, infinite ones as text."""
        means = {}
        for metric, definition in definitions(self.preset).items():
            value, undefined = self.mean(metric)
            better = METRICS[metric].higher_is_better
            means[metric] = {"mean": _plain(value), "undefined": undefined, "higher_is_better": better}
            means[metric]["definition"] = definition
        names = ("predictions", "data", "edition", "preset", "fixations", "left_out", "failures")
        head = {name: getattr(self, name) for name in names}
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
    """Score predictions at the size of each image.

    An image that cannot be read, or whose stored prediction cannot, is left out and named in ``failures``. An error
    that ``predict`` raises ends the evaluation as it is: it is the model's.

    Args:
        predict: Function of an image's name and pixels that returns a map (1, h, w); ``run_model`` and
            ``read_predictions`` make one. Maps of another size are resized bilinearly, antialiased.
        dataset: Images, maps and fixations. It is read twice: sAUC and IG need the fixations and maps of all images
            before the first is scored.
        preset: Name of the preset that defines the metrics.
        predictions: Name of the predictions in the report.
        data: Name of the data in the report.
        edition: Edition of the data in the report.
        progress: Wrapper of the images' names that is iterated over, such as ``tqdm``.

    Raises:
        ValueError: If a prediction is no map (1, h, w) that fits its image, or no image can be read.
    """
    find_preset(preset)
    failures: dict[str, str] = {}
    leave_one_out = LeaveOneOut()
    for index in range(len(dataset.names)):
        if sample := _read(dataset, index, failures):
            leave_one_out.add(sample.saliency_map, sample.fixation_map)
    scores, fixations, left_out = {}, 0, 0
    for index, name in enumerate(progress(dataset.names)):
        sample = None if name in failures else _read(dataset, index, failures)
        if sample is None:
            continue
        try:
            prediction = predict(name, sample.image)
        except UnreadablePredictionError as error:
            failures[name] = str(error)
            continue
        size = (sample.image.shape[-2], sample.image.shape[-1])
        fitted = resize(check_prediction(prediction, name, size), size)
        scores[name] = _score(fitted, sample, leave_one_out, preset, seed=index)
        fixations += int(sample.fixation_map.sum())
        left_out += sample.left_out
    if not scores:
        raise ValueError(_explain_none(data, failures))
    return Evaluation(
        predictions=predictions,
        data=data,
        edition=edition,
        preset=preset,
        fixations=fixations,
        left_out=left_out,
        scores=scores,
        failures=failures,
    )


def _score(prediction: Tensor, sample: Sample, others: LeaveOneOut, preset: str, *, seed: int) -> dict[str, float]:
    """Every metric of one image's prediction (1, H, W)."""
    truths: dict[Truth, Any] = {
        "saliency_map": sample.saliency_map,
        "fixation_map": sample.fixation_map,
        "other_map": others.fixation_map(sample.fixation_map),
        "baseline": others.baseline(sample.saliency_map),
    }
    return {name: row.score(prediction, truths, preset=preset, seed=seed).item() for name, row in METRICS.items()}


def _read(dataset: FixationDataset, index: int, failures: dict[str, str]) -> Sample | None:
    """A sample, or ``None`` if it cannot be read, with the reason in ``failures``."""
    try:
        return read_sample(dataset, index)
    except Exception as error:
        if isinstance(error, ImportError) or not belongs_to_image(error):
            raise
        failures[dataset.names[index]] = f"{type(error).__name__}: {error}"
        return None


def _explain_none(data: str, failures: dict[str, str]) -> str:
    if not failures:
        return f"{data} has no image to score."
    name, reason = next(iter(failures.items()))
    return f"None of the {len(failures)} images of {data} can be scored. The first, {name!r}: {reason}"


def _plain(value: float) -> float | str | None:
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)

"""Score predictions of a data set's images against its maps and fixations: every metric, per image and on average."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from augsal_transforms.evaluation.leave_one_out import FixationDataset, LeaveOneOut
from augsal_transforms.evaluation.models import Predict, StoredPredictions
from augsal_transforms.evaluation.scoring import Scoring, list_tasks, read_truth
from augsal_transforms.metrics.presets import find_preset
from augsal_transforms.metrics.table import METRICS, definitions
from augsal_transforms.randomness import check_integer
from augsal_transforms.workers import map_in_order, one_thread

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
    workers: int = 1,
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
        workers: Number of processes that compute the metrics, 1 or more; the scores are the same to the bit. Stored
            predictions are read there too; a model predicts in this process. Where processes are spawned, ``dataset``
            must be picklable.

    Raises:
        TypeError: If ``workers`` is no integer.
        ValueError: If a prediction is no map (1, h, w) that fits its image, or no image can be read; or if
            ``workers`` is less than 1.
    """
    find_preset(preset)
    workers = check_integer("workers", workers, low=1)
    failures: dict[str, str] = {}
    references = _sum_references(dataset, failures, workers)
    scoring = Scoring(dataset, predict if isinstance(predict, StoredPredictions) else None, references, preset)
    tasks = list_tasks(predict, dataset, progress, failures)
    scores, fixations, left_out = {}, 0, 0
    for name, scored in map_in_order(scoring, tasks, workers):
        if isinstance(scored, str):
            failures[name] = scored
            continue
        scores[name] = scored.scores
        fixations += scored.fixations
        left_out += scored.left_out
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


def _sum_references(dataset: FixationDataset, failures: dict[str, str], workers: int) -> LeaveOneOut:
    """The sums over all images that can be read, in their order; the others are added to ``failures``."""
    references = LeaveOneOut()
    found = map_in_order(partial(read_truth, dataset), range(len(dataset.names)), workers)
    for name, truth in zip(dataset.names, found, strict=True):
        if isinstance(truth, str):
            failures[name] = truth
            continue
        with one_thread():
            saliency_map, places, counts = map(torch.from_numpy, truth)
            fixation_map = torch.zeros(saliency_map.shape, dtype=counts.dtype).put_(places, counts)
            references.add(saliency_map, fixation_map)
    return references


def _explain_none(data: str, failures: dict[str, str]) -> str:
    if not failures:
        return f"{data} has no image to score."
    name, reason = next(iter(failures.items()))
    return f"None of the {len(failures)} images of {data} can be scored. The first, {name!r}: {reason}"


def _plain(value: float) -> float | str | None:
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)

"""The score of one image, as a task that a worker process can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.evaluation.leave_one_out import FixationDataset, LeaveOneOut, Sample, read_sample
from augsal_transforms.evaluation.models import (
    Predict,
    StoredPredictions,
    UnreadablePredictionError,
    check_prediction,
)
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.metrics.inputs import read_once
from augsal_transforms.metrics.table import METRICS, Truth

Array = np.ndarray[Any, Any]
Maps = tuple[Array, Array, Array]  # prediction in double precision, saliency map, fixation map; each (1, h, w)
Task = int | tuple[int, Maps, int]  # the image's number; with a model's prediction its maps, and points left out


class Scored(NamedTuple):
    """Scores of an image by metric, the number of its fixations, and the number of those left out."""

    scores: dict[str, float]
    fixations: int
    left_out: int


@dataclass(frozen=True)
class Scoring:
    """Scores one image of a data set.

    Attributes:
        dataset: The data set.
        stored: The predictions, where they are files; ``None`` where a task brings its prediction.
        references: Sums over all images.
        preset: Name of the preset.
    """

    dataset: FixationDataset
    stored: StoredPredictions | None
    references: LeaveOneOut
    preset: str

    def __call__(self, task: Task) -> tuple[str, Scored | str]:
        """The image's name with its scores, or with the reason why it or its prediction cannot be read."""
        index = task if isinstance(task, int) else task[0]
        name = self.dataset.names[index]
        found = self._read(index, name) if isinstance(task, int) else task[1:]
        if isinstance(found, str):
            return name, found
        (prediction, saliency_map, fixation_map), left_out = found
        truth, counts = torch.from_numpy(saliency_map), torch.from_numpy(fixation_map)
        fitted = resize(torch.from_numpy(prediction), (counts.shape[-2], counts.shape[-1]))
        return name, Scored(self._score(fitted, truth, counts, seed=index), int(counts.sum()), left_out)

    def _read(self, index: int, name: str) -> tuple[Maps, int] | str:
        sample = _read(self.dataset, index)
        if isinstance(sample, str) or self.stored is None:
            return str(sample)
        prediction = _predict(self.stored, name, sample)
        return prediction if isinstance(prediction, str) else (prediction, sample.left_out)

    def _score(self, prediction: Tensor, saliency_map: Tensor, fixation_map: Tensor, *, seed: int) -> dict[str, float]:
        """Every metric of one image's prediction (1, H, W)."""
        truths: dict[Truth, Any] = {
            "saliency_map": saliency_map,
            "fixation_map": fixation_map,
            "other_map": self.references.fixation_map(fixation_map),
            "baseline": self.references.baseline(saliency_map),
        }
        rows = METRICS.items()
        with read_once():
            return {name: row.score(prediction, truths, preset=self.preset, seed=seed).item() for name, row in rows}


def list_tasks(
    predict: Predict, dataset: FixationDataset, progress: Callable[[Sequence[str]], Any], failures: dict[str, str]
) -> Iterator[Task]:
    """The images to score: by number where predictions are stored, or else with what a model predicts here.

    Args:
        predict: The predictions.
        dataset: The data set.
        progress: Wrapper of the images' names that is iterated over.
        failures: Reasons by name of the images that cannot be read; they are left out, and others are added.
    """
    for index, name in enumerate(progress(dataset.names)):
        if name in failures:
            continue
        if isinstance(predict, StoredPredictions):
            yield index
            continue
        sample = _read(dataset, index)
        maps = sample if isinstance(sample, str) else _predict(predict, name, sample)
        if isinstance(sample, str) or isinstance(maps, str):
            failures[name] = str(maps)
        else:
            yield index, maps, sample.left_out


def read_truth(dataset: FixationDataset, index: int) -> tuple[Array, Array, Array] | str:
    """An image's ground truth, or the reason why it cannot be read.

    Returns:
        The saliency map, (1, H, W), the places of the fixated pixels, (N,), and their fixations, (N,): few bytes, since
        what a worker process returns is copied twice.
    """
    sample = _read(dataset, index)
    if isinstance(sample, str):
        return sample
    counts = sample.fixation_map.flatten()
    places = counts.nonzero()[:, 0]
    return sample.saliency_map.numpy(), places.numpy(), counts[places].numpy()


def _read(dataset: FixationDataset, index: int) -> Sample | str:
    """A sample, or the reason why it cannot be read."""
    try:
        return read_sample(dataset, index)
    except Exception as error:
        if isinstance(error, ImportError) or not belongs_to_image(error):
            raise
        return f"{type(error).__name__}: {error}"


def _predict(predict: Predict, name: str, sample: Sample) -> Maps | str:
    """An image's maps with its prediction, or the reason why a stored prediction cannot be read."""
    try:
        prediction = predict(name, sample.image)
    except UnreadablePredictionError as error:
        return str(error)
    size = (sample.image.shape[-2], sample.image.shape[-1])
    checked = check_prediction(prediction, name, size)
    return checked.numpy(), sample.saliency_map.numpy(), sample.fixation_map.numpy()

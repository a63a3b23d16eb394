"""What people's gaze predicts of people's gaze, on OSIE: the references for every model of photographs.

    python benchmarks/people.py references --data OSIE [--images 120]

``references`` prints, for held-out photographs, CC, KLD, NSS, SIM and AUC-Judd under the preset mit_matlab of two
predictions: the centre bias, which is the mean map of the 300 training photographs, against all viewers; and the map of
every second viewer, from the first on, against the maps and fixations of the others. It reads fixations and sizes only.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from augsal_transforms.data import FixatedFolder, count_fixations, make_saliency_map
from augsal_transforms.data.degrees import degree_of_osie
from augsal_transforms.data.images import read_size
from augsal_transforms.data.osie import Viewers, read_viewers
from augsal_transforms.data.recorded import Size, place_fixations, round_pairs
from augsal_transforms.metrics.table import METRICS
from augsal_transforms.progress import Quiet, progress_bar

MEASURED = ("cc", "kld", "nss", "sim", "auc_judd")
TRAINING = 300  # photographs that make the centre bias, by the order of `ordered`
PRESET = "mit_matlab"


def ordered(names: Sequence[str]) -> list[str]:
    """Names of photographs by the SHA-256 of "osie" and the name: the order in which parts are cut off."""
    return sorted(names, key=lambda name: hashlib.sha256(f"osie{name}".encode()).hexdigest())


def points_of(viewers: Viewers, size: Size) -> Tensor:
    """(N, 2), the fixations of some viewers in whole pixels inside the image."""
    pairs = np.concatenate([np.empty((0, 2)), *viewers])
    return place_fixations(round_pairs(pairs, size, first=1), size).points


def score(prediction: Tensor, points: Tensor, size: Size) -> list[float]:
    """The metrics of a prediction (1, H, W) against fixations and the map made from them."""
    truths = {
        "saliency_map": make_saliency_map(points, size, degree_of_osie(size)),
        "fixation_map": count_fixations(points, size),
    }
    return [float(METRICS[name].score(prediction, truths, preset=PRESET)) for name in MEASURED]


def measure(folder: Path, images: int, training: int = TRAINING) -> dict[str, list[float]]:
    """The mean of each metric for centre bias and half of the viewers, on the photographs after the training part."""
    dataset = FixatedFolder(folder)
    names = ordered(dataset.names)
    viewers = {Path(name).stem: points for name, points in read_viewers(dataset.files.release).items()}
    sizes = {name: read_size(dataset.images[name]) for name in names[: training + images]}

    def saliency_map(name: str) -> Tensor:
        return make_saliency_map(dataset.fixations(name), sizes[name], degree_of_osie(sizes[name]))

    bias = sum(
        map(saliency_map, progress_bar(names[:training], "image"))
    )  # the mean up to its scale, which no metric here depends on
    scores: dict[str, list[list[float]]] = {"centre bias": [], "half of the viewers": []}
    for name in progress_bar(names[training : training + images], "image"):
        size, seen = sizes[name], viewers[name]
        scores["centre bias"].append(score(bias, dataset.fixations(name), size))
        first, others = (points_of(part, size) for part in (seen[::2], seen[1::2]))
        half = make_saliency_map(first, size, degree_of_osie(size))
        scores["half of the viewers"].append(score(half, others, size))
    return {prediction: np.nanmean(rows, 0).tolist() for prediction, rows in scores.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the references."""
    parser = argparse.ArgumentParser(description="References for models of photographs.")
    parser.add_argument("command", choices=["references"])
    parser.add_argument("--data", type=Path, required=True, help="OSIE's folder")
    parser.add_argument("--images", type=int, default=120, help="number of held-out photographs")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    print(f"{'':22s}" + "".join(f"{METRICS[name].title:>10s}" for name in MEASURED))
    for prediction, values in measure(options.data, options.images).items():
        print(f"{prediction:22s}" + "".join(f"{value:10.4f}" for value in values))


if __name__ == "__main__":
    main()

"""Measure what the augmentation adds to a training step, with edits from a store and edits made during training.

    python benchmarks/training_overhead.py [--images 32] [--rounds 5] [--size 256] [--json FILE]

The compact network of ``examples/`` is trained on 480×640 JPEGs with maps, at p = 0.5. One process reads, transforms,
predicts and learns; seconds are processor time (set OMP_NUM_THREADS=1). The second pass predicts all images again, as
in README.md's loop, or the edited ones alone, as ``collate_edited`` gives them. The kinds of training take turns, epoch
by epoch. One row measures the second pass without any edits.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from counting import alternate
from figures import Figure, report
from loader import Transformed, fill, plain_tensors, rest_of_pipeline, write_data
from table2.compact_models import CompactUnisal
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from augsal_transforms import (
    AugmentedSaliencyLoss,
    EditStore,
    SaliencyDiffusionAugment,
    SaliencyEditor,
    SaliencyLoss,
    collate_edited,
)
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.progress import Quiet
from augsal_transforms.tv_tensors import SaliencyMap

WITHOUT, TWICE, LIVE = "without us", "without us, two passes", "edits made during training"
STORE, ALONE = "edits from a store", "edits from a store, edited ones alone"
BARS = {STORE: 2.0, ALONE: 1.55}

SecondPass = Callable[[Any, dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


def predict_all(model: Any, batch: dict[str, torch.Tensor], prediction: torch.Tensor) -> torch.Tensor:
    """Predict every edited image, or every image again if the batch has no edited images."""
    edited: torch.Tensor = model(batch.get("edited_image", batch["image"]))
    return edited


def predict_edited(model: Any, batch: dict[str, torch.Tensor], prediction: torch.Tensor) -> torch.Tensor:
    """Predict only the images that are edited, which are all that ``collate_edited`` carries."""
    edited: torch.Tensor = model(batch["edited_image"]) if batch["is_edited"].any() else prediction[:0]
    return edited


def tensors_in_range(sample: dict[str, Any]) -> dict[str, Any]:
    """Turn a sample into tensors with the map in [0, 1], as the losses need it, in a pipeline without us."""
    tensors = plain_tensors(sample)
    return {**tensors, "saliency_map": SaliencyMap(tensors["saliency_map"].float() / 255)}


class Training:
    """A network, its optimizer and its loss; ``epoch`` trains it on a loader's batches.

    Args:
        second: Function of the second pass, or ``None`` for no second pass.
    """

    def __init__(self, loader: DataLoader[Any], second: SecondPass | None) -> None:
        torch.manual_seed(0)
        self.loader, self.second, self.model = loader, second, CompactUnisal()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=1e-3)
        self.plain, self.augmented = SaliencyLoss(), AugmentedSaliencyLoss(SaliencyLoss())

    def epoch(self) -> None:
        for batch in self.loader:
            prediction = self.model(batch["image"])
            if self.second:
                edited = self.second(self.model, batch, prediction)
                mask = batch.get("edit_mask", torch.zeros_like(prediction))
                flags = batch.get("is_edited", torch.zeros(len(prediction), dtype=torch.bool))
                loss = self.augmented(prediction, batch["saliency_map"], edited, mask, flags)
            else:
                loss = self.plain(prediction, batch["saliency_map"])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def kinds_of_training(
    folder: SaliencyFolder, store: EditStore, editor: SaliencyEditor, size: int
) -> dict[str, Training]:
    """Build the kinds of training: without us, with a second pass alone, with the store, and with live edits."""
    stored = SaliencyDiffusionAugment(store=store.folder, p=0.5, seed=0)
    live = SaliencyDiffusionAugment(editor=editor, p=0.5, seed=0)
    kinds: dict[str, tuple[Callable[[Any], Any], SecondPass | None]] = {
        **{WITHOUT: (tensors_in_range, None), TWICE: (tensors_in_range, predict_all)},
        **{STORE: (stored, predict_all), ALONE: (stored, predict_edited), LIVE: (live, predict_all)},
    }
    return {
        name: Training(
            DataLoader(
                Transformed(folder, v2.Compose([first, *rest_of_pipeline(size)])),
                batch_size=8,
                collate_fn=collate_edited if second is predict_edited else None,
            ),
            second,
        )
        for name, (first, second) in kinds.items()
    }


def figures(medians: dict[str, float], steps: int) -> list[Figure]:
    found = [Figure(f"a step {name}", f"{1000 * value / steps:.0f} ms") for name, value in medians.items()]
    for name in (TWICE, STORE, ALONE, LIVE):
        ratio = medians[name] / medians[WITHOUT]
        bar = (f"≤ {BARS[name]} ×", ratio <= BARS[name]) if name in BARS else ()
        found.append(Figure(f"{name}, against {WITHOUT}", f"{ratio:.2f} ×", *bar))
    return found


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="side of the network's input in pixels")
    parser.add_argument("--editor", default="bundled")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        editor = SaliencyEditor.from_pretrained(options.editor)
        folder, store = write_data(Path(place) / "data", options.images), EditStore(Path(place) / "store")
        fill(store, editor, folder)
        trainings = kinds_of_training(folder, store, editor, options.size)
        runs = {name: partial(Training.epoch, training) for name, training in trainings.items()}
        for run in runs.values():
            run()  # the disk's cache, the first allocation
        medians = alternate(runs, options.rounds, cuda=False)
    found = figures(medians, -(-options.images // 8))
    report(found, options.json)
    return found


if __name__ == "__main__":
    main()

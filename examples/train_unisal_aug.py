"""Train a compact UNISAL-style network with and without the augmentation, and compare.

    python examples/train_unisal_aug.py                  # procedural scenes, bundled editor, a few minutes
    python examples/train_unisal_aug.py --data SALICON   # images/, maps/, annotations/ in SALICON's layout
    python examples/train_unisal_aug.py --smoke          # everything once, in a minute

Or train UNISAL itself, in an unchanged checkout of rdroste/unisal:

    python examples/train_unisal_aug.py --unisal PATH --data SALICON --store edits/
    python examples/train_unisal_aug.py --unisal PATH --smoke

The first three write a picture of edits and print a table. One run does not show whether augmentation helps: that takes
many seeds (``benchmarks/reproduce_table2.py``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from compact_unisal import CompactUnisal
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.utils import save_image
from tqdm import tqdm
from upstream_scenes import write_scenes

from augsal_transforms import AugmentedSaliencyLoss, SaliencyDiffusionAugment, SaliencyLoss
from augsal_transforms.adapters import unisal as unisal_adapter
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.metrics import cc, kld
from augsal_transforms.scenes.scenes import SceneDataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Transformed(Dataset[dict[str, Any]]):
    """A data set with a transform over its samples."""

    def __init__(self, dataset: Any, transform: Any) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.transform(self.dataset[index])


class AsTensors(v2.Transform):
    """Turn the sample's image and map into tv_tensors, as the augmentation does."""

    def forward(self, sample: dict[str, Any]) -> dict[str, Any]:
        image = to_rgb_image(sample["image"])
        size = (image.shape[-2], image.shape[-1])
        return {**sample, "image": image, "saliency_map": to_saliency_map(sample["saliency_map"], size)}


def pipeline(first: v2.Transform, size: int, *, training: bool) -> v2.Compose:
    flip = [v2.RandomHorizontalFlip()] if training else []
    tail = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([first, v2.Resize((size, size)), *flip, *tail])


def train(name: str, dataset: Any, first: v2.Transform, options: argparse.Namespace) -> CompactUnisal:
    """Train with or without augmentation: only the first transform and the loss differ."""
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    model = CompactUnisal().to(device)
    augmented = isinstance(first, SaliencyDiffusionAugment)
    criterion = AugmentedSaliencyLoss(SaliencyLoss()) if augmented else SaliencyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    loader = DataLoader(
        Transformed(dataset, pipeline(first, options.size, training=True)),
        batch_size=options.batch_size,
        shuffle=True,
        num_workers=options.workers,
        generator=torch.Generator().manual_seed(options.seed),
    )
    progress = tqdm(total=options.epochs * len(loader), desc=name)
    for epoch in range(options.epochs):
        if augmented:
            first.set_epoch(epoch)
        model.train()
        for batch in loader:
            batch = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
            prediction = model(batch["image"])
            if augmented:
                edited_prediction = model(batch["edited_image"])
                loss = criterion(
                    prediction, batch["saliency_map"], edited_prediction, batch["edit_mask"], batch["is_edited"]
                )
            else:
                loss = criterion(prediction, batch["saliency_map"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress.update()
            progress.set_postfix(epoch=epoch + 1, loss=f"{loss.item():.3f}")
    progress.close()
    return model


@torch.no_grad()
def evaluate(model: CompactUnisal, dataset: Any, options: argparse.Namespace) -> dict[str, float]:
    model.eval()
    loader = DataLoader(Transformed(dataset, pipeline(AsTensors(), options.size, training=False)), batch_size=16)
    scores: dict[str, list[Tensor]] = {"CC": [], "KLD": []}
    for batch in loader:
        prediction = model(batch["image"].to(options.device)).cpu()
        scores["CC"].append(cc(prediction, batch["saliency_map"]))
        scores["KLD"].append(kld(prediction, batch["saliency_map"]))
    return {name: torch.cat(values).mean().item() for name, values in scores.items()}


def picture_edits(dataset: Any, augment: SaliencyDiffusionAugment, path: Path, count: int = 8) -> None:
    """Save rows of image, saliency map, edit mask over the image, and edited image."""
    always = SaliencyDiffusionAugment(editor=augment.editor, p=1.0, edits=augment.edits, seed=0)
    square = v2.Compose([v2.Resize((192, 192)), v2.ToDtype(torch.float32, scale=True)])
    rows = []
    for index in range(min(count, len(dataset))):
        sample = always(dataset[index])
        done = f"{sample['edit_kind']} α = {sample['edit_alpha']:g}" if sample["is_edited"] else "not edited"
        print(f"  row {index + 1}: {done:20s} word {sample['edit_word'] or '–'!r:12} of {sample.get('prompt', '')!r}")
        kept = square({key: sample[key] for key in ("image", "saliency_map", "edit_mask", "edited_image")})
        mask = kept["edit_mask"].as_subclass(Tensor)
        dimmed = kept["image"].as_subclass(Tensor) * (0.25 + 0.75 * mask)
        rows += [
            kept["image"],
            kept["saliency_map"].as_subclass(Tensor).expand(3, -1, -1),
            dimmed,
            kept["edited_image"],
        ]
    save_image([row.as_subclass(Tensor) for row in rows], path, nrow=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder in SALICON's layout; procedural scenes if not given")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--p", type=float, default=0.5, help="chance that a sample is edited")
    parser.add_argument("--scenes", type=int, default=128, help="number of procedural scenes to train on")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="side of the network's input in pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("edits.png"))
    parser.add_argument("--unisal", type=Path, help="folder of a checkout of rdroste/unisal, to train its network")
    parser.add_argument("--store", type=Path, help="store of edits of the training images, for --unisal")
    parser.add_argument("--smoke", action="store_true", help="run everything once, in a minute")
    options = parser.parse_args()
    if options.unisal:
        if not options.smoke and None in (options.data, options.store):
            parser.error("--unisal needs --data, a folder in SALICON's layout, and --store, a store of its edits")
        train_unisal(options)
        return
    if options.smoke:
        options.scenes, options.epochs, options.size, options.workers = 8, 1, 64, 0

    start = time.monotonic()
    training, held_out, where = scenes_or_folder(options)
    augment = SaliencyDiffusionAugment(editor=options.editor, p=options.p, seed=options.seed)
    print(augment)
    picture_edits(training, augment, options.out)
    print(f"edits of {min(8, len(training))} images: {options.out}")
    plain = evaluate(train("without", training, AsTensors(), options), held_out, options)
    augmented = evaluate(train("with", training, augment, options), held_out, options)

    print(f"\n{len(training)} images, {options.epochs} epochs, seed {options.seed}; measured on {where}")
    print(f"{'':14s}{'CC ↑':>8s}{'KLD ↓':>8s}")
    for name, scores in (("without", plain), ("with", augmented)):
        print(f"{name:14s}{scores['CC']:8.3f}{scores['KLD']:8.3f}")
    print(f"{time.monotonic() - start:.0f} s")


def scenes_or_folder(options: argparse.Namespace) -> tuple[Any, Any, str]:
    """Training images, images to measure on, and a description of the second."""
    if options.data is None:
        count = 8 if options.smoke else 64
        return SceneDataset(options.scenes), SceneDataset(count, seed=99), f"{count} held-out scenes"
    training = open_layout(options.data, "train")
    if (options.data / "maps" / "val").is_dir():
        held_out = open_layout(options.data, "val")
        return training, held_out, f"the {len(held_out)} images of the val split"
    return training, training, "the training images themselves: the folder has no val split"


def train_unisal(options: argparse.Namespace) -> None:
    """Run UNISAL's own trainer on SALICON's images with edits."""
    sys.path.insert(0, str(options.unisal.resolve()))
    with tempfile.TemporaryDirectory() as folder:
        trained: dict[str, Any] = {"num_epochs": options.epochs, "num_workers": options.workers}
        if options.smoke:
            options.data = write_scenes(Path(folder), images="images", fixations="fixations/{split}")
            options.store = Path(folder) / "edits"
            # No new instance: it would copy the weights of the backbone, which a smoke run does not have.
            trained = {"num_epochs": 1, "num_workers": 0, "new_instance": False, "tboard": False}
            trained["model_cfg"] = {"sources": ["SALICON"], "cnn_cfg": {"pretrained": False}}
            os.environ["TRAIN_DIR"] = f"{folder}/runs"
        os.environ["SALICON_DATA_DIR"] = str(options.data)
        import unisal

        trainer = unisal.train.Trainer(
            data_sources=["SALICON"], salicon_batch_size=2 if options.smoke else options.batch_size, **trained
        )
        trainer.train_dir.mkdir(parents=True, exist_ok=True)
        with unisal_adapter.augmented(trainer, options.store, p=options.p, seed=options.seed):
            trainer.fit()


if __name__ == "__main__":
    main()

"""Train a compact UNISAL-style network with and without the augmentation, and compare.

    python examples/train_unisal_aug.py                  # procedural scenes, bundled editor, a few minutes
    python examples/train_unisal_aug.py --data SALICON   # images/, maps/, annotations/ in SALICON's layout
    python examples/train_unisal_aug.py --smoke          # everything once, in a minute

These render scenes (without --data), fill a store with their edits, draw some of them, train from the store and print a
table. All files are written into one folder. Run the command again, and scenes and edits are used again.

Or train UNISAL itself, in an unchanged checkout of rdroste/unisal:

    python examples/train_unisal_aug.py --unisal PATH --data SALICON --store edits/
    python examples/train_unisal_aug.py --unisal PATH --smoke
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from compact_unisal import CompactUnisal
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from upstream_scenes import write_scenes

from augsal_transforms import AugmentedSaliencyLoss, EditStore, SaliencyDiffusionAugment, SaliencyEditor, SaliencyLoss
from augsal_transforms.adapters import unisal as unisal_adapter
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.generate.generation import Generation
from augsal_transforms.metrics import cc, kld
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes import writer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAYS = """
The table says that training runs with the line in the Compose, and what one run scores. It does not say whether
augmentation helps: another seed gives other numbers, and rendered scenes are not photographs. Many seeds show it:
benchmarks/README.md has what was measured, benchmarks/reproduce_table2.py measures it on your data.

Next:
  look at the edits                {figure}
  put the line into your Compose   SaliencyDiffusionAugment(store="{store}"), docs/compose.md
  edit your own data set           augsal generate --data DIR --store STORE, docs/store.md
  edit one photograph              augsal edit --help, docs/edit.md"""


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


def train(
    name: str, dataset: Any, first: v2.Transform, options: argparse.Namespace
) -> tuple[CompactUnisal, list[float]]:
    """Train with or without augmentation: only the first transform and the loss differ. Returns the losses too."""
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
    losses = []
    progress = progress_bar(total=options.epochs * len(loader), desc=name)
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
            losses.append(loss.item())
            progress.update()
            progress.set_postfix(epoch=epoch + 1, loss=f"{losses[-1]:.3f}")
    progress.close()
    return model, losses


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


def fill_store(dataset: Any, options: argparse.Namespace) -> EditStore:
    """Make the edits of the training images, of every kind one, that the store does not have yet."""
    store = EditStore(options.store or options.out / "edits")
    editor = SaliencyEditor.from_pretrained(options.editor, device=options.device)
    generation = Generation(editor, store, dataset, seed=options.seed)
    with progress_bar(total=len(dataset), unit="image", desc="edits") as progress:
        generation.run(dataset.names, progress.update)
    print(" · ".join(f"{name} {generation.counts[name]:,}" for name in ("made", "reused", "refused", "failed")))
    return store


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
    parser.add_argument("--out", type=Path, default=Path("unisal-example"), help="folder for everything written")
    parser.add_argument("--unisal", type=Path, help="folder of a checkout of rdroste/unisal, to train its network")
    parser.add_argument("--store", type=Path, help="store of edits of the training images; OUT/edits if not given")
    parser.add_argument("--quiet", action=Quiet)
    parser.add_argument("--smoke", action="store_true", help="run everything once, in a minute")
    options = parser.parse_args()
    if options.unisal:
        if not options.smoke and None in (options.data, options.store):
            parser.error("--unisal needs --data, a folder in SALICON's layout, and --store, a store of its edits")
        train_unisal(options)
        return
    if options.smoke:
        options.scenes, options.epochs, options.size, options.workers = 4, 1, 64, 0

    start = time.monotonic()
    training, held_out, where = scenes_or_folder(options)
    print(f"edits of {len(training)} images into {options.store or options.out / 'edits'}", flush=True)
    store = fill_store(training, options)
    figure = options.out / "edits.png"
    SaliencyDiffusionAugment(store=store, p=1.0, seed=options.seed).preview(training, count=6).save(figure)

    augment = SaliencyDiffusionAugment(store=store, p=options.p, seed=options.seed)
    print(augment, flush=True)
    scores, losses = {}, {}
    for name, first in (("without", AsTensors()), ("with", augment)):
        print(f"training {name} edits, {options.epochs} epochs", flush=True)
        model, losses[name] = train(name, training, first, options)
        scores[name] = evaluate(model, held_out, options)
    (options.out / "losses.json").write_text(json.dumps(losses))

    print(f"\n{len(training)} images, {options.epochs} epochs, seed {options.seed}; measured on {where}")
    print(f"{'':14s}{'CC ↑':>8s}{'KLD ↓':>8s}")
    for name, found in scores.items():
        print(f"{name:14s}{found['CC']:8.3f}{found['KLD']:8.3f}")
    print(SAYS.format(figure=figure, store=store.folder))
    print(f"\n{time.monotonic() - start:.0f} s")


def scenes_or_folder(options: argparse.Namespace) -> tuple[Any, Any, str]:
    """Training images, images to measure on, and a description of the second."""
    if options.data is None:
        options.data = render_scenes(options)
    training = open_layout(options.data, "train")
    if (options.data / "maps" / "val").is_dir():
        held_out = open_layout(options.data, "val")
        return training, held_out, f"the {len(held_out)} images of the val split"
    return training, training, "the training images themselves: the folder has no val split"


def render_scenes(options: argparse.Namespace) -> Path:
    """Scenes to train on and to measure on, in a folder that is named for their number."""
    folder: Path = options.out / f"scenes-{options.scenes}"
    for split, count in (("train", options.scenes), ("val", options.scenes // 2)):
        if not (folder / "annotations" / f"captions_{split}2014.json").exists():
            bar = partial(progress_bar, unit="scene", desc=f"{split} scenes")
            writer.write_scenes(folder, count, split=split, progress=bar)
    return folder


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

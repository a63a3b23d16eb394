"""Measure the speed of a data loader with edits from a store, and of the same loader without us.

    python benchmarks/loader.py [--images 64] [--workers 2] [--epochs 5] [--json FILE]

480×640 JPEGs with maps pass through Resize, flip, ToDtype and Normalize. Batches carry the pictures of edited samples
alone (``collate_edited``), or those of all. Epochs with and without us alternate in one process, so that other work on
the machine slows both; the medians of the rates, and of their ratios in each round, are reported. One epoch of each
starts the workers and fills the disk's cache first. With p = 0 nothing is read from the store: the cost is that of the
contract's other keys, in the pipeline and in the batch. The last lines list the other costs, measured on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from figures import Figure, report
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import EditStore, SaliencyDiffusionAugment, SaliencyEditor, collate_edited
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.generate.generation import Generation
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import blur_fixations, fixate
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.store.keys import fast_hash
from augsal_transforms.tv_tensors import SaliencyMap

SIZE = (480, 640)
BARS = {"with us, p = 0": 0.80, "with us, p = 0.5": 0.70}
ALL = ", all pictures in the batch"


class Transformed(Dataset[Any]):
    """A folder's samples, passed through a Compose."""

    def __init__(self, folder: SaliencyFolder, transform: Callable[[Any], Any]) -> None:
        self.folder, self.transform = folder, transform

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.folder[index])


def plain_tensors(sample: dict[str, Any]) -> dict[str, Any]:
    """Turn a sample into tensors, as the first step of a pipeline without us."""
    image = v2.functional.to_image(sample["image"])
    return {**sample, "image": image, "saliency_map": SaliencyMap(v2.functional.pil_to_tensor(sample["saliency_map"]))}


def rest_of_pipeline(size: int = 256) -> list[Any]:
    return [
        v2.Resize((size, size)),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]


def write_data(folder: Path, count: int) -> SaliencyFolder:
    """Write scenes of 480×640 as JPEG images with PNG maps."""
    for kind in ("images", "maps"):
        (folder / kind / "train").mkdir(parents=True)
    for n in progress_bar(range(count), "scene"):
        scene = render_scene(n, seed=600, size=SIZE[1])
        field = blur_fixations(fixate(scene.image, scene.objects, seed=n), (SIZE[1], SIZE[1]))
        to_pil_image(scene.image[:, 80:560]).save(folder / "images" / "train" / f"{n:04d}.jpg", quality=90)
        to_pil_image(field[:, 80:560]).save(folder / "maps" / "train" / f"{n:04d}.png")
    return SaliencyFolder(folder)


def fill(store: EditStore, editor: SaliencyEditor, folder: SaliencyFolder) -> None:
    """Make edits of all images."""
    with progress_bar(total=len(folder.names), unit="image", desc="edits") as shown:
        Generation(editor, store, folder).run(folder.names, shown.update)


def samples_per_second(loader: DataLoader[Any]) -> float:
    started = time.perf_counter()
    count = sum(len(batch["image"]) for batch in loader)
    return count / (time.perf_counter() - started)


def milliseconds(function: Callable[[Any], object], items: list[Any]) -> float:
    """Measure milliseconds of processor time, which other work on the machine hardly changes."""
    started = time.thread_time()
    for item in items:
        function(item)
    return 1000 * (time.thread_time() - started) / len(items)


def costs(folder: SaliencyFolder, store: EditStore) -> list[Figure]:
    """Measure the parts of an edited sample's time, in milliseconds of one thread."""
    raw = [folder[n] for n in range(len(folder))]
    images = [to_rgb_image(sample["image"]).as_subclass(Tensor) for sample in raw]
    paths = [store.list_edits(image)[0].path for image in images]
    stored = [store.read(path) for path in paths]
    pairs = [(one, image) for one, image in zip(stored, images, strict=True) if one]
    both = [{"image": read, "edited_image": read} for read in map(to_rgb_image, (s["image"] for s in raw))]
    rest = v2.Compose(rest_of_pipeline())
    rows = {
        "decode a JPEG and its map": milliseconds(
            lambda n: (read_image(folder.images[n]), read_image(folder.maps[n])), folder.names
        ),
        "the rest of the pipeline, one image": milliseconds(lambda s: rest({"image": s["image"]}), both),
        "the rest of the pipeline, two images": milliseconds(rest, both),
        "the map as float in [0, 1]": milliseconds(lambda s: to_saliency_map(s["saliency_map"], SIZE), raw),
        "hash of the original's pixels": milliseconds(fast_hash, images),
        "the same, and a list of its edits": milliseconds(store.edits_of, images),
        "read and check a record": milliseconds(store.read, paths),
        "put it on the original": milliseconds(lambda p: p[0].onto(p[1], known_hash=p[0].metadata["image"]), pairs),
    }
    return [Figure(name, f"{value:.2f} ms") for name, value in rows.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, store = write_data(Path(place) / "data", options.images), EditStore(Path(place) / "store")
        fill(store, SaliencyEditor.from_pretrained("bundled"), folder)
        augments = {f"with us, p = {p}": SaliencyDiffusionAugment(store=store.folder, p=p, seed=0) for p in (0, 0.5)}
        given = {"batch_size": 16, "num_workers": options.workers, "persistent_workers": options.workers > 0}

        def loader(first: Callable[[Any], Any], **more: Any) -> DataLoader[Any]:
            return DataLoader(Transformed(folder, v2.Compose([first, *rest_of_pipeline()])), **given, **more)

        loaders = {"without us": loader(plain_tensors)}
        for name, augment in augments.items():
            loaders |= {name: loader(augment, collate_fn=collate_edited), name + ALL: loader(augment)}
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for epoch in progress_bar(range(options.epochs + 1), "epoch"):
            for augment in augments.values():
                augment.set_epoch(epoch)
            for name in loaders:
                rates[name].append(samples_per_second(loaders[name]))
        figures = []
        for name, (_, *values) in rates.items():
            share = statistics.median(ours / plain for ours, plain in zip(values, rates["without us"][1:], strict=True))
            bar = (f"≥ {BARS[name]:.2f} ×", share >= BARS[name]) if name in BARS else ()
            figures.append(Figure(f"samples a second {name}", f"{statistics.median(values):.0f}, {share:.2f} ×", *bar))
        report([*figures, *costs(folder, store)], options.json)


if __name__ == "__main__":
    main()

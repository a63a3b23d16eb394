"""Train DeepGaze IIE with edits, by the training functions of an unchanged checkout of matthias-k/DeepGaze.

    python examples/train_deepgaze2e_aug.py --deepgaze PATH --data SALICON --store edits/ --out runs/deepgaze2e
    python examples/train_deepgaze2e_aug.py --deepgaze PATH --smoke   # six scenes, one epoch, random backbones

``--data`` holds ``images/{train,val}/NAME.jpg`` and fixation maps ``fixations/{train,val}/NAME.png``. Training starts
from the published weights, which are downloaded. Needs pysaliency and the other libraries that the checkout imports.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import PIL.Image
import torch
import torchvision
from upstream_scenes import write_scenes

from augsal_transforms.adapters import deepgaze2e
from augsal_transforms.progress import Quiet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deepgaze", type=Path, required=True, help="folder of the checkout")
    parser.add_argument("--data", type=Path, help="folder of images and fixation maps")
    parser.add_argument("--store", type=Path, help="store of edits of the training images")
    parser.add_argument("--p", type=float, default=0.5, help="chance that an image is edited")
    parser.add_argument("--editing-weight", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/deepgaze2e"))
    parser.add_argument("--smoke", action="store_true", help="run everything once, in a few minutes")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    if not options.smoke and None in (options.data, options.store):
        parser.error("pass --data, a folder of images with fixation maps, and --store, a store of their edits")
    if not (options.deepgaze / "deepgaze_pytorch").is_dir():
        parser.error(f"--deepgaze must be a checkout of DeepGaze, and {options.deepgaze} has no deepgaze_pytorch")
    sys.path.insert(0, str(options.deepgaze.resolve()))
    with tempfile.TemporaryDirectory() as folder:
        if options.smoke:
            options.data = write_scenes(Path(folder), images="images/{split}", fixations="fixations/{split}")
            options.store, options.out = Path(folder) / "edits", Path(folder) / "run"
            options.epochs, options.batch_size = 1, 2
        train(options)


def train(options: argparse.Namespace) -> None:
    with deepgaze2e.importable():
        from deepgaze_pytorch import training
    model = deepgaze2e.prepare(build(random=options.smoke))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    # ``_train`` ends where the learning rate falls below its minimum.
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[options.epochs], gamma=1e-6)
    training_set = deepgaze2e.augmented_dataset(dataset(options.data, "train"), options.store, p=options.p)
    loaders = [loader(data, options.batch_size) for data in (training_set, dataset(options.data, "val"))]
    with deepgaze2e.augmented(model, editing_weight=options.editing_weight):
        training._train(
            *(str(options.out), model, loaders[0], 0.0, loaders[1], 0.0, optimizer, scheduler),
            minimum_learning_rate=1e-7,
            validation_metric="LL",
            device=torch.device(options.device),
        )


def build(random: bool) -> Any:
    import deepgaze_pytorch

    if not random:
        return deepgaze_pytorch.DeepGazeIIE(pretrained=True)
    with random_backbones():
        return deepgaze_pytorch.DeepGazeIIE(pretrained=False)


@contextmanager
def random_backbones() -> Iterator[None]:
    """Give the backbones random weights: nothing is downloaded and nothing is loaded inside the block."""
    from deepgaze_pytorch.features import efficientnet_pytorch, shapenet

    net = efficientnet_pytorch.EfficientNet
    with ExitStack() as stack:
        for target, name, value in (
            (torch.hub, "load", lambda repo, name, **kwargs: getattr(torchvision.models, name)(weights=None)),
            (net, "from_pretrained", net.from_name),
            (shapenet.model_zoo, "load_url", mock.Mock(return_value={"state_dict": {}})),
            (torch.nn.Module, "load_state_dict", mock.Mock()),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield


def dataset(data: Path, split: str) -> Any:
    import pysaliency
    from deepgaze_pytorch.data import FixationMaskTransform, ImageDataset

    paths = sorted((data / "images" / split).glob("*.jpg"))
    points = [np.nonzero(np.array(PIL.Image.open(data / "fixations" / split / f"{path.stem}.png"))) for path in paths]
    fixations = pysaliency.Fixations.create_without_history(
        x=np.concatenate([columns for _, columns in points]),
        y=np.concatenate([rows for rows, _ in points]),
        n=np.repeat(np.arange(len(paths)), [len(rows) for rows, _ in points]),
    )
    return ImageDataset(
        pysaliency.FileStimuli([str(path) for path in paths]),
        fixations,
        centerbias_model=pysaliency.UniformModel(),
        transform=FixationMaskTransform(sparse=False),
        average="image",
    )


def loader(data: Any, batch_size: int) -> Any:
    from deepgaze_pytorch.data import ImageDatasetSampler

    return torch.utils.data.DataLoader(data, batch_sampler=ImageDatasetSampler(data, batch_size=batch_size))


if __name__ == "__main__":
    main()

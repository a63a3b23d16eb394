"""Networks of upstream checkouts, wrapped to take ImageNet-normalised images and return maps in [0, 1].

Network, pretrained weights and input range are the upstream's, as in its own training script. Loss, optimiser and
schedule are ours. The scripts ``examples/train_*_aug.py`` train the networks by the upstreams' own loops.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn
from train_deepgaze2e_aug import random_backbones
from train_tempsal_aug import without_loading

from augsal_transforms.adapters import deepgaze2e
from augsal_transforms.adapters._hook import peak
from augsal_transforms.adapters._shims import without_cuda
from table2.compact_models import CentreBias
from table2.trial import MEAN, STD


class Unisal(nn.Module):
    """rdroste/unisal for still images, with MobileNetV2's weights from ImageNet."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        if pretrained:
            require(checkout / "unisal/models/weights/mobilenet_v2.pth.tar", "they are part of rdroste/unisal")
        with inside(checkout):
            network = import_module("unisal.model").UNISAL
            self.network = network(sources=("SALICON",), cnn_cfg={"pretrained": pretrained})

    def forward(self, images: Tensor) -> Tensor:
        return peak(self.network(images[:, None], source="SALICON")[:, 0])


class SimpleNet(nn.Module):
    """samyak0210/saliency with its PNASNet-5 encoder and that encoder's weights from ImageNet; images of 256 px."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        if pretrained:
            require(checkout / "PNAS/PNASNet-5_Large.pth", "download them from the link in the checkout's README")
        with inside(checkout, "SimpleNet"), without_cuda():
            self.network = import_module("model").PNASModel(train_enc=True, load_weight=pretrained)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(from_minus_one(images, "SimpleNet"))[:, None]


class TempSAL(nn.Module):
    """IVRL/Tempsal's boosted model, trained on from its published checkpoint; images of 256 px."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        weights = checkout.resolve() / "src/checkpoints/multilevel_tempsal.pt"
        if pretrained:
            require(weights, f"download them from the link in {weights.parent / 'Readme.txt'}")
        with inside(checkout, "src"), without_cuda(), nullcontext() if pretrained else without_loading():
            self.network = import_module("model").PNASBoostedModelMultiLevel("cpu", str(weights), "", 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(from_minus_one(images, "TempSAL"))[0][:, None]


class DeepGaze(nn.Module):
    """DeepGaze IIE of matthias-k/DeepGaze, with the published weights of its backbones and random readouts.

    Its centre bias, a density of the training fixations, is replaced by a Gaussian that is trained with the rest.
    """

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        self.centre_bias = CentreBias()
        with inside(checkout), deepgaze2e.importable():
            package = import_module("deepgaze_pytorch")
            try:
                with nullcontext() if pretrained else random_backbones():
                    self.network = deepgaze2e.prepare(package.DeepGazeIIE(pretrained=False))
            except OSError as error:
                raise RuntimeError(
                    "DeepGaze IIE downloads the weights of its backbones when it is built, and the download failed: "
                    f"{error}. Build it once on a machine with a network, and copy {torch.hub.get_dir()} from there."
                ) from error

    def forward(self, images: Tensor) -> Tensor:
        bias = self.centre_bias(images).expand(len(images), -1, -1)
        return peak(self.network(255 * from_zero(images), bias)[:, None])


def from_zero(images: Tensor) -> Tensor:
    """Turn normalised images into images in [0, 1]."""
    mean, std = (images.new_tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    return images * std + mean


def from_minus_one(images: Tensor, name: str) -> Tensor:
    """Turn normalised images of 256 × 256, the only size of these networks, into images in [−1, 1]."""
    if images.shape[-2:] != (256, 256):
        raise ValueError(f"{name} takes images of 256 × 256, got {tuple(images.shape[-2:])}; pass --size 256.")
    return 2 * from_zero(images) - 1


def require(weights: Path, source: str) -> None:
    if not weights.is_file():
        raise FileNotFoundError(f"The pretrained weights {weights} are missing: {source}.")


@contextmanager
def inside(checkout: Path, source: str = ".") -> Iterator[None]:
    """Work in a checkout's folder and import from it. Remove its modules afterwards: others have the same names."""
    working, path, known = Path.cwd(), sys.path[:], set(sys.modules)
    root = checkout.resolve(strict=True)
    os.chdir(root / source)
    sys.path.insert(0, str(root / source))
    try:
        yield
    finally:
        for name in set(sys.modules) - known:
            file = Path(getattr(sys.modules[name], "__file__", None) or os.sep).resolve()
            if file.is_relative_to(root) and "site-packages" not in file.parts:
                del sys.modules[name]
        os.chdir(working)
        sys.path[:] = path

"""The networks of upstream checkouts, in the place of the compact ones: ImageNet-normalised images to maps in [0, 1].

Network, pretrained weights and what it wants of pixels are the checkout's, as its own training script has them; loss,
optimiser and schedule are whoever's builds it. ``train_*_aug.py`` train them by the upstreams' own loops.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path

import torch
from table2.compact_models import CentreBias
from table2.trial import DEVIATION, MEAN
from torch import Tensor, nn
from train_deepgaze2e_aug import random_backbones
from train_tempsal_aug import without_loading

from augsal_transforms.adapters import deepgaze2e
from augsal_transforms.adapters._hook import peak
from augsal_transforms.adapters._shims import without_cuda


class Unisal(nn.Module):
    """rdroste/unisal for still images, from MobileNetV2's weights on ImageNet."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        if pretrained:
            require(checkout / "unisal/models/weights/mobilenet_v2.pth.tar", "it is part of rdroste/unisal")
        with inside(checkout):
            network = import_module("unisal.model").UNISAL
            self.network = network(sources=("SALICON",), cnn_cfg={"pretrained": pretrained})

    def forward(self, images: Tensor) -> Tensor:
        return peak(self.network(images[:, None], source="SALICON")[:, 0])


class SimpleNet(nn.Module):
    """samyak0210/saliency with its PNASNet-5 encoder, from that one's weights on ImageNet; images of 256 px."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        if pretrained:
            require(checkout / "PNAS/PNASNet-5_Large.pth", "fetch it from the link in the checkout's README")
        with inside(checkout, "SimpleNet"), without_cuda():
            self.network = import_module("model").PNASModel(train_enc=True, load_weight=pretrained)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(from_minus_one(images, "SimpleNet"))[:, None]


class TempSAL(nn.Module):
    """IVRL/Tempsal's boosted model, which is made from its published checkpoint and goes on from it; 256 px."""

    def __init__(self, checkout: Path, pretrained: bool = True) -> None:
        super().__init__()
        weights = checkout.resolve() / "src/checkpoints/multilevel_tempsal.pt"
        if pretrained:
            require(weights, f"fetch it from the link in {weights.parent / 'Readme.txt'}")
        with inside(checkout, "src"), without_cuda(), nullcontext() if pretrained else without_loading():
            self.network = import_module("model").PNASBoostedModelMultiLevel("cpu", str(weights), "", 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(from_minus_one(images, "TempSAL"))[0][:, None]


class DeepGaze(nn.Module):
    """DeepGaze IIE of matthias-k/DeepGaze, from its backbones' published weights; its readouts start at random.

    In the place of its centre bias, a density of the training fixations, is a Gaussian that learns with the rest.
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
                    "DeepGaze IIE fetches the weights of its backbones when it is made, which failed: "
                    f"{error}. Make it once where there is a network, or copy its {torch.hub.get_dir()} here."
                ) from error

    def forward(self, images: Tensor) -> Tensor:
        bias = self.centre_bias(images).expand(len(images), -1, -1)
        return peak(self.network(255 * from_zero(images), bias)[:, None])


def from_zero(images: Tensor) -> Tensor:
    """Normalised images → [0, 1]."""
    mean, deviation = (images.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
    return images * deviation + mean


def from_minus_one(images: Tensor, name: str) -> Tensor:
    """Normalised images → [−1, 1], of the one size that these networks take."""
    if images.shape[-2:] != (256, 256):
        raise ValueError(f"{name} takes images of 256 × 256, got {tuple(images.shape[-2:])}; pass --size 256.")
    return 2 * from_zero(images) - 1


def require(weights: Path, source: str) -> None:
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing: {source}.")


@contextmanager
def inside(checkout: Path, source: str = ".") -> Iterator[None]:
    """Work in a checkout's folder and import from it; its modules are forgotten then, as others have the same names."""
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

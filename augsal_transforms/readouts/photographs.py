"""PhotographPredictor: people's gaze on photographs, by a compact network of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from augsal_transforms.diffusion.batching import Batches, check_seeds
from augsal_transforms.diffusion.letterbox import check_images, resize
from augsal_transforms.diffusion.loading import find_device
from augsal_transforms.diffusion.model import check_finite
from augsal_transforms.diffusion.networks import check_shapes
from augsal_transforms.diffusion.weights import read_json, read_shapes, read_tensors
from augsal_transforms.files import write_file
from augsal_transforms.photometry import to_unit_range
from augsal_transforms.readouts.gaze_network import GazeNetwork

WEIGHTS, DESCRIPTION = "augsal_gaze.safetensors", "augsal_gaze.json"
NETWORK = "efficientnet-lite0"  # of the weights; a folder that describes another network is refused
MULTIPLE = 32  # the coarsest stride
LONGEST = 2048  # pixels of the network's input along a side, for images that are very long
BATCH_SIZE = 8  # images, on a GPU; on a CPU thread batches of 8 take 1.5 times as long an image as single ones


@dataclass(frozen=True, eq=False)
class PhotographPredictor:
    """Predicts where people look on photographs; ``SaliencyPredictor.from_pretrained("photographs")`` loads it.

    Attributes:
        network: The network, in evaluation mode.
        resolution: Side of a square with as many pixels as the network's input, in pixels; from 32 to 2048.
        name: The name under which the network is found.
        batches: Batches of images for the network; single images by default.

    Raises:
        TypeError: If ``resolution`` is no whole number.
        ValueError: If it is out of its range.
    """

    network: GazeNetwork = field(repr=False)
    resolution: int
    name: str = "photographs"
    batches: Batches = field(default_factory=lambda: Batches(1), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.resolution, int) or isinstance(self.resolution, bool):
            raise TypeError(f"`resolution` must be a whole number, got {self.resolution!r}.")
        if not MULTIPLE <= self.resolution <= LONGEST:
            raise ValueError(f"`resolution` must be from {MULTIPLE} to {LONGEST}, got {self.resolution}.")

    def __reduce__(self) -> tuple[Any, ...]:
        # One string of bytes: a worker process would otherwise be sent hundreds of tensors, each a file of its own.
        weights = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        return _rebuild, (save(weights), str(self.device), self.resolution, self.name, self.batches)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self.network.mean.device

    def save(self, folder: Path) -> None:
        """Write the network, in half precision, and its description."""
        weights = {
            name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
            for name, value in self.network.state_dict().items()
        }
        write_file(folder / WEIGHTS, save(weights))
        description = {"network": NETWORK, "resolution": self.resolution}
        write_file(folder / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())

    @torch.no_grad()
    def predict(self, images: list[Tensor] | Tensor, *, seed: int | Sequence[int] = 0) -> list[Tensor]:
        """S′ of images.

        Args:
            images: A list of (3, H, W) or a batch (B, 3, H, W), uint8 or float in [0, 1], any sizes.
            seed: Accepted because every predictor of this package takes one; nothing is drawn here.

        Returns:
            A map (1, H, W) float32 per image at its own size and on its device, scaled to a maximum of 1. It does not
            depend on the other images; on a GPU, where they go in batches, but for rounding (1e-5).
        """
        images = check_images(images)
        check_seeds(seed, images)
        sizes = [input_size((image.shape[-2], image.shape[-1]), self.resolution) for image in images]
        return self.batches.run(self._predict_batch, list(zip(images, sizes, strict=True)), sizes)

    def _predict_batch(self, jobs: list[tuple[Tensor, tuple[int, int]]]) -> list[Tensor]:
        placed = torch.stack([resize(to_unit_range(image).float().to(self.device), size) for image, size in jobs])
        log_densities = self.network(placed.contiguous(memory_format=torch.channels_last))
        check_finite(log_densities)
        maps = []
        for log_density, (image, _) in zip(log_densities, jobs, strict=True):
            size = (image.shape[-2], image.shape[-1])
            upsampled = resize(log_density.float(), size)
            maps.append((upsampled - upsampled.amax()).exp().to(image.device))
        return maps


def _rebuild(weights: bytes, device: str, *fields: Any) -> PhotographPredictor:
    network = GazeNetwork()
    network.load_state_dict(load(weights))
    return PhotographPredictor(_freeze(network, device), *fields)


def _freeze(network: GazeNetwork, device: str | torch.device) -> GazeNetwork:
    return network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def input_size(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """(H, W) of the network's input for an image of ``size``: multiples of 32, about ``resolution²`` pixels.

    The sides keep the image's aspect to the nearest multiple, so that nothing is padded and the centre stays the
    centre. At a resolution of 333 that moves the aspect by less than 12 % for images up to 2 : 1.
    """
    scale = resolution / (size[0] * size[1]) ** 0.5
    height, width = (min(max(round(side * scale / MULTIPLE), 1) * MULTIPLE, LONGEST) for side in size)
    return height, width


def load_photographs(folder: Path, name: str, device: str) -> PhotographPredictor:
    """A predictor from a folder that ``PhotographPredictor.save`` wrote.

    Args:
        folder: The folder.
        name: The name under which it was found.
        device: Device of the network.

    Raises:
        ValueError: If its files are broken.
    """
    place, description = find_device(device), read_json(folder / DESCRIPTION, folder)
    if set(description) != {"network", "resolution"} or description["network"] != NETWORK:
        raise ValueError(
            f"{folder / DESCRIPTION} must hold `resolution` and `network`, {NETWORK!r}, got {str(description)[:200]}."
        )
    network = GazeNetwork()
    own = network.state_dict()
    wanted = {key: tuple(tensor.shape) for key, tensor in own.items()}
    if not os.path.lexists(folder / WEIGHTS):
        raise FileNotFoundError(f"{folder} has no {WEIGHTS} beside its {DESCRIPTION}. Get the folder again.")
    check_shapes(wanted, read_shapes([folder / WEIGHTS], folder), folder / WEIGHTS)
    weights: dict[str, Any] = {}
    for key, tensor in read_tensors([folder / WEIGHTS], folder):
        weights[key] = tensor.to(own[key].dtype, copy=True)
        if not weights[key].isfinite().all():
            raise ValueError(f"{key} in {folder / WEIGHTS} has values that are not finite.")
    network.load_state_dict(weights)
    try:
        batches = Batches(1 if place.type == "cpu" else BATCH_SIZE)
        return PhotographPredictor(_freeze(network, place), description["resolution"], name, batches)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / DESCRIPTION}: {error}") from error

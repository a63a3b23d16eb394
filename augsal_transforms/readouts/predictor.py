"""SaliencyPredictor: a saliency model of trained readouts on a frozen diffusion model's features (Sec. 3)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from augsal_transforms.diffusion.batching import Batches, check_seeds, seeded_noise
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.diffusion.letterbox import Letterbox, check_images
from augsal_transforms.diffusion.loading import find_device, load_model
from augsal_transforms.diffusion.model import DiffusionModel, check_finite
from augsal_transforms.photometry import to_unit_range
from augsal_transforms.readouts.features import decoder_features
from augsal_transforms.readouts.photographs import DESCRIPTION, PhotographPredictor, load_photographs
from augsal_transforms.readouts.readouts import WEIGHTS, Readouts, load_readouts, locate_folder, save_readouts

BATCH_SIZE = 8  # images; halved where memory does not hold them


class HasModel(Protocol):
    """Anything that holds a frozen model under a name, as a ``SaliencyEditor`` does."""

    @property
    def model(self) -> DiffusionModel:
        """The frozen model."""

    @property
    def name(self) -> str:
        """The name under which the model is found."""


@dataclass(frozen=True, eq=False)
class SaliencyPredictor:
    """Predicts where people look, by readouts of a diffusion model's features; ``from_pretrained`` loads one.

    Attributes:
        model: The frozen diffusion model whose features are read.
        readouts: The readouts, trained on this model.
        model_name: The name under which the model is found.
        name: The name under which the readouts are found.
        batches: Batches of images for the networks.
    """

    model: DiffusionModel = field(repr=False)
    readouts: Readouts = field(repr=False)
    model_name: str
    name: str = "readouts"
    batches: Batches = field(default_factory=lambda: Batches(BATCH_SIZE), repr=False)

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "bundled", *, editor: str | HasModel | None = None, device: str = "cpu"
    ) -> SaliencyPredictor | PhotographPredictor:
        """Load a predictor of saliency.

        Args:
            name: ``"photographs"`` (a compact network, trained on people's gaze), ``"bundled"`` (readouts of the
                bundled model), or a folder of readouts or of such a network.
            editor: A ``SaliencyEditor``, whose model is shared, or the name of a model; ``None`` is the model that
                the readouts were trained on. Only with readouts.
            device: Device of a network or a model that is loaded here.

        Returns:
            A ``PhotographPredictor`` for a compact network, else a ``SaliencyPredictor``. Both have ``predict``.

        Raises:
            TypeError: If ``name`` or ``editor`` is of another type.
            FileNotFoundError: If there is no such folder, or no such model.
            ValueError: If the files are broken, or if the readouts were trained on another model than ``editor``.
        """
        folder = locate_folder(name)
        if os.path.lexists(folder / DESCRIPTION):
            if editor is not None:
                raise ValueError(f"`editor` goes with readouts; {str(name)!r} is a network of its own. Leave it out.")
            return load_photographs(folder, str(name), device)
        if not os.path.lexists(folder / WEIGHTS):
            raise FileNotFoundError(
                f"{folder} holds no predictor: neither {DESCRIPTION} nor {WEIGHTS} is there. Give 'photographs', "
                "'bundled' or a folder that `augsal train-readouts --out` wrote."
            )
        readouts, trained_on = load_readouts(name)
        if editor is None or isinstance(editor, str):
            model_name = editor or trained_on
            place = find_device(device)  # before anything is fetched
            model = load_model(locate_model(model_name), device=place, dtype=torch.float32)
        elif isinstance(getattr(editor, "model", None), DiffusionModel):
            model, model_name = editor.model, editor.name
        else:
            raise TypeError(f"`editor` must be a SaliencyEditor, the name of a model or None, got {editor!r}.")
        return cls(model, readouts.to(model.device), model_name, str(name))

    def __post_init__(self) -> None:
        self.readouts.check_model(self.model, self.model_name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process loads the model itself: its weights and its lock do not travel, the readouts' few weights do.
        place = (self.model.folder, str(self.model.device), self.model.unet.dtype)
        return _reload, (*place, deepcopy(self.readouts).cpu(), self.model_name, self.name, self.batches)

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.model.device

    def save(self, folder: Path) -> None:
        """Write the readouts, half precision, with a fingerprint of the U-Net they belong to."""
        save_readouts(self.readouts, folder, self.model_name)

    @torch.no_grad()
    def predict(self, images: list[Tensor] | Tensor, *, seed: int | Sequence[int] = 0) -> list[Tensor]:
        """S′ of images, with an empty prompt.

        Args:
            images: A list of (3, H, W) or a batch (B, 3, H, W), uint8 or float in [0, 1], any sizes.
            seed: Seed of the noise in which the features are read, one for all images or one per image. The noise is
                keyed on the image's pixels too, so neither the order nor the size of a batch matters.

        Returns:
            A map (1, H, W) float32 per image at its own size and on its device, scaled to a maximum of 1.
        """
        images = check_images(images)
        plan = (self.model.resolution, self.model.multiple)
        letterboxes = [Letterbox.plan((image.shape[-2], image.shape[-1]), *plan) for image in images]
        jobs = list(zip(images, check_seeds(seed, images), letterboxes, strict=True))
        return self.batches.run(self._predict_batch, jobs, [letterbox.outer for letterbox in letterboxes])

    def _predict_batch(self, jobs: list[tuple[Tensor, int, Letterbox]]) -> list[Tensor]:
        model, config = self.model, self.readouts.config
        placed = torch.stack([letterbox.fit(to_unit_range(image).to(model.device)) for image, _, letterbox in jobs])
        latent = model.encode(placed)
        noise = seeded_noise([image for image, *_ in jobs], [seed for _, seed, _ in jobs], latent)
        context = model.empty_prompt.expand(len(jobs), -1, -1)
        taps, time_embedding = decoder_features(model, latent, noise, context, config.noise_level)
        saliency = self.readouts.saliency(*self.readouts.aggregate(taps, time_embedding, latent))
        check_finite(saliency)
        smooth = upsample(saliency, (placed.shape[-2], placed.shape[-1]), config.blur)
        maps = []
        for placed_map, (image, _, letterbox) in zip(smooth, jobs, strict=True):
            image_map = letterbox.restore(placed_map)
            # Eq. 4 does not depend on a map's scale. Saliency maps have a maximum of 1, so this one gets it too.
            maps.append((image_map / image_map.amax().clamp(min=1e-12)).clamp(0, 1).to(image.device))
        return maps


def _reload(folder: Path, device: str, dtype: torch.dtype, readouts: Readouts, *names: Any) -> SaliencyPredictor:
    model = load_model(folder, device=device, dtype=dtype)
    return SaliencyPredictor(model, readouts.to(model.device), *names)


def upsample(saliency: Tensor, size: tuple[int, int], blur: float) -> Tensor:
    """S′ (B, 1, h, w) upsampled to ``size`` (bilinear) and blurred by a Gaussian with a sigma of ``blur`` cells."""
    sigma = blur * size[0] / saliency.shape[-2]
    upsampled = F.interpolate(saliency, size, mode="bilinear", align_corners=False)
    if sigma < 0.1:  # the kernel would be a single pixel
        return upsampled
    kernel = 2 * min(round(3 * sigma), (min(size) - 1) // 2) + 1
    return gaussian_blur2d(upsampled, (kernel, kernel), (sigma, sigma), border_type="replicate")

"""SaliencyPredictor: a saliency model made of a frozen editor's features and trained readouts (Sec. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from augsal_transforms.editor.batching import one_each, seeded_noise
from augsal_transforms.editor.canvas import Canvas, check_images, to_unit_range
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.readouts.features import decoder_features
from augsal_transforms.readouts.readouts import Readouts, load_readouts, save_readouts


@dataclass(frozen=True, eq=False)
class SaliencyPredictor:
    """Predicts where people look; ``from_pretrained`` loads one.

    Attributes:
        editor: Whose frozen networks the features come from.
        readouts: What reads them.
        name: What they were asked for by.
    """

    editor: SaliencyEditor
    readouts: Readouts = field(repr=False)
    name: str = "readouts"

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "bundled", *, editor: str | SaliencyEditor | None = None, device: str = "cpu"
    ) -> SaliencyPredictor:
        """Load readouts, and their editor where none is given.

        Args:
            name: ``"bundled"`` (on the bundled editor; it never saw a photograph) or a folder.
            editor: The editor, or its name; ``None`` is the one that the readouts were trained on.
            device: Where an editor that is loaded here runs.

        Raises:
            FileNotFoundError: If there are no readouts.
            ValueError: If they were trained on another editor.
        """
        readouts, trained_on = load_readouts(name)
        if not isinstance(editor, SaliencyEditor):
            editor = SaliencyEditor.from_pretrained(editor or trained_on, device=device)
        return cls(editor, readouts.to(editor.model.device), str(name))

    def __post_init__(self) -> None:
        self.readouts.check_editor(self.editor.model, self.editor.name)

    def save(self, folder: Path) -> None:
        """Write the readouts, half precision, with a fingerprint of the U-Net they belong to."""
        save_readouts(self.readouts, folder, self.editor.name)

    @torch.no_grad()
    def predict(self, images: list[Tensor] | Tensor, *, seed: int | Sequence[int] = 0) -> list[Tensor]:
        """S′ of images, with an empty prompt.

        Args:
            images: A list of (3, H, W) or a batch (B, 3, H, W), uint8 or float in [0, 1], any sizes.
            seed: One for all, or one per image, of the noise that the features are read at; keyed on the
                image's pixels too, so neither the order nor the size of a batch matters.

        Returns:
            A map (1, H, W) float32 per image at its own size and on its device, scaled to a maximum of 1.
        """
        images = check_images(images)
        seeds = one_each("seed", [seed] * len(images) if isinstance(seed, int) else seed, images)
        model, config = self.editor.model, self.editor.config
        plan = (config.resolution or model.resolution, model.multiple)
        canvases = [Canvas.plan((image.shape[-2], image.shape[-1]), *plan) for image in images]
        jobs = list(zip(images, seeds, canvases, strict=True))
        return self.editor.batches.run(self._predict_batch, jobs, [canvas.outer for canvas in canvases])

    def _predict_batch(self, jobs: list[tuple[Tensor, int, Canvas]]) -> list[Tensor]:
        model, config = self.editor.model, self.readouts.config
        placed = torch.stack([canvas.place(to_unit_range(image).to(model.device)) for image, _, canvas in jobs])
        latent = model.encode(placed)
        noise = seeded_noise([image for image, *_ in jobs], [seed for _, seed, _ in jobs], latent)
        context = model.empty_prompt.expand(len(jobs), -1, -1)
        taps, time_embedding = decoder_features(model, latent, noise, context, config.noise_level)
        saliency = self.readouts.saliency(*self.readouts.aggregate(taps, time_embedding, latent))
        smooth = upsample(saliency, (placed.shape[-2], placed.shape[-1]), config.blur)
        maps = []
        for field_, (image, _, canvas) in zip(smooth, jobs, strict=True):
            lifted = canvas.lift(field_)
            # Eq. 4 does not see a map's scale: as saliency maps are, it is scaled to a maximum of 1.
            maps.append((lifted / lifted.amax().clamp(min=1e-12)).clamp(0, 1).to(image.device))
        return maps


def upsample(saliency: Tensor, size: tuple[int, int], blur: float) -> Tensor:
    """S′ (B, 1, h, w) bilinearly at ``size``, blurred by a Gaussian of ``blur`` latent cells."""
    sigma = blur * size[0] / saliency.shape[-2]
    field_ = F.interpolate(saliency, size, mode="bilinear", align_corners=False)
    if sigma < 0.1:  # narrower than a pixel can show
        return field_
    kernel = 2 * min(round(3 * sigma), (min(size) - 1) // 2) + 1
    return gaussian_blur2d(field_, (kernel, kernel), (sigma, sigma), border_type="replicate")

"""SaliencyPredictor: a saliency model made of a frozen editor's features and trained readouts (Sec. 3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from augsal_transforms.editor.batching import in_batches, one_each, seeded_noise
from augsal_transforms.editor.calibration import fingerprint
from augsal_transforms.editor.canvas import Canvas, check_images, to_unit_range
from augsal_transforms.editor.diffusion import DiffusionModel
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.prompts import encode_prompts
from augsal_transforms.readouts.features import Aggregator, decoder_convolutions, decoder_features
from augsal_transforms.readouts.heads import ClassReadout, PhotometricReadout, SaliencyReadout

WEIGHTS, DESCRIPTION = "augsal_readouts.safetensors", "augsal_readouts.json"


@dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Sizes of the readouts and the noise they read at; ``for_model`` takes them from a model.

    Attributes:
        tap_channels: Channels of the decoder's taps, by up block.
        time_channels: Size of the U-Net's timestep embedding.
        latent_channels: Of Z.
        classes: Names of the classes of HLFR, in the order of its logits.
        width: C of the aggregated features; 384 is the paper's.
        noise_level: As in ``EditConfig``; the same as the editor's, so that its passes can be read too.
        blur: Sigma of the final blur of S′, in latent cells. On held-out scenes the bundled readouts have a
            KLD of 0.191 for anything from 0 to 0.5, 0.195 at 1 and 0.207 at 1.5.
    """

    tap_channels: tuple[tuple[int, ...], ...]
    time_channels: int
    latent_channels: int
    classes: tuple[str, ...]
    width: int = 128
    noise_level: float = 0.2
    blur: float = 0.5

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"`width` must be a multiple of 8, got {self.width!r}.")
        if not self.classes:
            raise ValueError("`classes` must name at least one class of objects.")
        if not 0 < self.noise_level < 1:
            raise ValueError(f"`noise_level` must lie in (0, 1), got {self.noise_level!r}.")
        if not self.blur >= 0:
            raise ValueError(f"`blur` must be 0 or more, got {self.blur!r}.")

    @classmethod
    def for_model(
        cls, model: DiffusionModel, classes: Sequence[str], *, width: int = 128, noise_level: float = 0.2
    ) -> ReadoutConfig:
        """The sizes that fit a model."""
        return cls(
            tap_channels=tuple(tuple(c.out_channels for c in block) for block in decoder_convolutions(model.unet)),
            time_channels=int(model.unet.time_embedding.linear_2.out_features),
            latent_channels=int(model.vae.config.latent_channels),
            classes=tuple(classes),
            width=width,
            noise_level=noise_level,
        )


class Readouts(nn.Module):
    """Two aggregators and the heads that share them: LLFR, HLFR and SR."""

    def __init__(self, config: ReadoutConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.tap_channels, config.width, config.time_channels)
        self.low = Aggregator(*sizes, favour="late", latent_channels=config.latent_channels)
        self.high = Aggregator(*sizes, favour="early")
        self.photometric = PhotometricReadout(config.width)
        self.classify = ClassReadout(config.width, len(config.classes))
        self.saliency = SaliencyReadout(config.width)

    def aggregate(self, taps: Sequence[Tensor], time_embedding: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Low- and high-level features, each (B, C, h, w), of what ``decoder_features`` returns."""
        return self.low(taps, time_embedding, latent), self.high(taps, time_embedding, latent)

    def forward(
        self, taps: Sequence[Tensor], time_embedding: Tensor, latent: Tensor, patches: Tensor, boxes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All heads at once.

        Args:
            taps: From ``decoder_features``.
            time_embedding: Likewise.
            latent: Z, (B, 4, h, w).
            patches: Areas of interest of LLFR, (B, K, h, w), in [0, 1].
            boxes: Areas of interest of HLFR, (B, N, h, w), in [0, 1].

        Returns:
            Properties (B, K, 6), logits (B, N, classes) and S′ (B, 1, h, w).
        """
        low, high = self.aggregate(taps, time_embedding, latent)
        return self.photometric(low, patches), self.classify(high, boxes), self.saliency(low, high)


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
        folder = files("augsal_transforms") / "assets" / "readouts" if name == "bundled" else Path(name).expanduser()
        folder = Path(str(folder))
        if not (folder / WEIGHTS).exists():
            raise FileNotFoundError(
                f"{folder} has no {WEIGHTS}. Give 'bundled' or a folder that `augsal train-readouts --out` wrote."
            )
        description = json.loads((folder / DESCRIPTION).read_text())
        trained_on = description.pop("editor")
        if not isinstance(editor, SaliencyEditor):
            editor = SaliencyEditor.from_pretrained(editor or trained_on["name"], device=device)
        if fingerprint(editor.model.folder, "unet") != trained_on["unet"]:
            raise ValueError(
                f"The readouts in {folder} were trained on the U-Net of {trained_on['name']!r}, that of "
                f"{editor.name!r} is another one. Give its own `editor`, or train readouts for this one: "
                f"augsal train-readouts --editor {editor.name} --data DIR --out FOLDER"
            )
        blocks = tuple(map(tuple, description.pop("tap_channels")))
        config = ReadoutConfig(**{**description, "tap_channels": blocks, "classes": tuple(description["classes"])})
        readouts = Readouts(config)
        readouts.load_state_dict(load_file(folder / WEIGHTS))
        return cls(editor, readouts.to(editor.model.device).eval().requires_grad_(False), str(name))

    def save(self, folder: Path) -> None:
        """Write the readouts, half precision, with a fingerprint of the U-Net they belong to."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.half().contiguous().cpu() for name, value in self.readouts.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        identity = {"name": self.editor.name, "unet": fingerprint(self.editor.model.folder, "unet")}
        description = {**asdict(self.readouts.config), "editor": identity}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")

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
        return in_batches(self._predict_batch, jobs, [canvas.outer for canvas in canvases], config.batch_size)

    def _predict_batch(self, jobs: list[tuple[Tensor, int, Canvas]]) -> list[Tensor]:
        model, config = self.editor.model, self.readouts.config
        placed = torch.stack([canvas.place(to_unit_range(image).to(model.device)) for image, _, canvas in jobs])
        latent = model.encode(placed)
        noise = seeded_noise([image for image, *_ in jobs], [seed for _, seed, _ in jobs], latent)
        context = encode_prompts(model.tokenizer, model.text_encoder, [""] * len(jobs))
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

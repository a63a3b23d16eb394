"""Readouts: the aggregators and the heads that share them, as one module that is saved and loaded (Sec. 3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from augsal_transforms.diffusion.calibration import fingerprint
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.readouts.features import Aggregator, decoder_convolutions
from augsal_transforms.readouts.heads import ClassReadout, PhotometricReadout, SaliencyReadout

WEIGHTS, DESCRIPTION = "augsal_readouts.safetensors", "augsal_readouts.json"


@dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Sizes of the readouts, the U-Net and the noise they read at; ``for_model`` takes them from a model.

    Attributes:
        unet: Fingerprint of the U-Net whose features they read.
        tap_channels: Channels of the decoder's taps, by up block.
        time_channels: Size of the U-Net's timestep embedding.
        latent_channels: Of Z.
        classes: Names of the classes of HLFR, in the order of its logits.
        width: C of the aggregated features; 384 is the paper's.
        noise_level: As in ``EditConfig``; the same as the editor's, so that its passes can be read too.
        blur: Sigma of the final blur of S′, in latent cells. On held-out scenes the bundled readouts have a
            KLD (Eq. 5) of 0.165 for anything from 0 to 0.5, 0.170 at 1 and 0.183 at 1.5.
    """

    unet: str
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
            unet=fingerprint(model.folder, "unet"),
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

    def check_model(self, model: DiffusionModel, name: str) -> None:
        """Refuse a model called ``name`` if the readouts were trained on another U-Net.

        Raises:
            ValueError: If they were.
        """
        if fingerprint(model.folder, "unet") != self.config.unet:
            raise ValueError(
                f"The readouts were trained on the U-Net of another model than {name!r}. "
                "`SaliencyPredictor.from_pretrained(FOLDER)` finds their own; or train readouts for this one: "
                f"augsal train-readouts --editor {name} --data DIR --out FOLDER"
            )


def load_readouts(name: str | Path) -> tuple[Readouts, str]:
    """Frozen readouts, on the CPU, and the name of the editor they were trained on.

    Args:
        name: ``"bundled"`` (on the bundled editor; they never saw a photograph) or a folder.

    Raises:
        FileNotFoundError: If there are none.
    """
    folder = files("augsal_transforms") / "assets" / "readouts" if name == "bundled" else Path(name).expanduser()
    folder = Path(str(folder))
    if not (folder / WEIGHTS).exists():
        raise FileNotFoundError(
            f"{folder} has no {WEIGHTS}. Give 'bundled' or a folder that `augsal train-readouts --out` wrote."
        )
    description = json.loads((folder / DESCRIPTION).read_text())
    editor = description.pop("editor")
    blocks = tuple(map(tuple, description.pop("tap_channels")))
    classes = tuple(description.pop("classes"))
    readouts = Readouts(ReadoutConfig(unet=editor["unet"], tap_channels=blocks, classes=classes, **description))
    readouts.load_state_dict(load_file(folder / WEIGHTS))
    return readouts.eval().requires_grad_(False), editor["name"]


def save_readouts(readouts: Readouts, folder: Path, editor: str) -> None:
    """Write readouts, half precision, with the name of their editor and a fingerprint of its U-Net."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous().cpu() for name, value in readouts.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    description = asdict(readouts.config)
    description["editor"] = {"name": editor, "unet": description.pop("unet")}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")

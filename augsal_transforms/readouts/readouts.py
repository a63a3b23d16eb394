"""Readouts: the aggregators and the heads that share them, as one module that is saved and loaded (Sec. 3)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from augsal_transforms.diffusion.calibration import fingerprint
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.diffusion.networks import check_shapes
from augsal_transforms.diffusion.weights import read_json, read_shapes, read_tensors
from augsal_transforms.files import write_file
from augsal_transforms.readouts.features import Aggregator, decoder_convolutions
from augsal_transforms.readouts.heads import ClassReadout, PhotometricReadout, SaliencyReadout

WEIGHTS, DESCRIPTION = "augsal_readouts.safetensors", "augsal_readouts.json"
ASSETS = {"bundled": "readouts", "photographs": "photographs"}  # folders in the package, by name


@dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Sizes of the readouts, their U-Net and their noise level; ``for_model`` takes the sizes from a model.

    Attributes:
        unet: Fingerprint of the U-Net whose features the readouts are trained on.
        tap_channels: Channels of the decoder's taps, by up block.
        time_channels: Size of the U-Net's timestep embedding.
        latent_channels: Number of channels of Z.
        classes: Names of the classes of HLFR, in the order of its logits.
        width: C, the channels of the aggregated features; 384 is the paper's.
        noise_level: Noise level of the features, in (0, 1); the editor's own, so that its passes can be read too.
        blur: Sigma of the final blur of S′, in latent cells. On held-out scenes the bundled readouts have a
            KLD (Eq. 5) of 0.165 for anything from 0 to 0.5, 0.170 at 1 and 0.183 at 1.5.

    Raises:
        TypeError: If a value is of another kind.
        ValueError: If a value is out of its range.
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
        if not isinstance(self.unet, str) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError("`unet` must be a fingerprint and `classes` must be names (str).")
        channels = [channels for block in self.tap_channels for channels in block]
        for name, sizes in (
            ("tap_channels", channels),
            ("time_channels", [self.time_channels]),
            ("latent_channels", [self.latent_channels]),
            ("width", [self.width]),
        ):
            if not sizes or not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
                raise TypeError(f"`{name}` must be a whole number or whole numbers, got {getattr(self, name)!r}.")
            if min(sizes) < 1:
                raise ValueError(f"`{name}` must be 1 or more, got {getattr(self, name)!r}.")
        for name in ("noise_level", "blur"):
            if not isinstance(getattr(self, name), (int, float)):
                raise TypeError(f"`{name}` must be a number, got {getattr(self, name)!r}.")
        if self.width < 8 or self.width % 8:
            raise ValueError(f"`width` must be a multiple of 8, got {self.width!r}.")
        if not self.classes:
            raise ValueError("`classes` must name at least one class of objects.")
        if not 0 < self.noise_level < 1:
            raise ValueError(f"`noise_level` must lie in (0, 1), got {self.noise_level!r}.")
        if not 0 <= self.blur < math.inf:
            raise ValueError(f"`blur` must be 0 or more, and finite, got {self.blur!r}.")

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
        """Low- and high-level features, each (B, C, h, w), from the taps and the embedding of ``decoder_features``."""
        return self.low(taps, time_embedding, latent), self.high(taps, time_embedding, latent)

    def forward(
        self, taps: Sequence[Tensor], time_embedding: Tensor, latent: Tensor, patches: Tensor, boxes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All heads at once.

        Args:
            taps: The decoder's taps, as ``decoder_features`` returns them.
            time_embedding: Embedding of the timestep, (1, D), as ``decoder_features`` returns it.
            latent: Z, (B, 4, h, w).
            patches: Areas of interest of LLFR, (B, K, h, w), in [0, 1].
            boxes: Areas of interest of HLFR, (B, N, h, w), in [0, 1].

        Returns:
            Properties (B, K, 6), logits (B, N, classes) and S′ (B, 1, h, w).
        """
        low, high = self.aggregate(taps, time_embedding, latent)
        return self.photometric(low, patches), self.classify(high, boxes), self.saliency(low, high)

    def check_model(self, model: DiffusionModel, name: str) -> None:
        """Refuse a model if the readouts were trained on another U-Net.

        Args:
            model: The frozen model.
            name: Name of the model, for the message.

        Raises:
            ValueError: If the readouts were trained on another U-Net.
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
        name: ``"bundled"`` (on the bundled editor) or a folder.

    Raises:
        TypeError: If ``name`` is no string or path.
        FileNotFoundError: If there are none.
        ValueError: If their files are broken.
    """
    folder = locate_folder(name)
    if not os.path.lexists(folder / WEIGHTS):
        raise FileNotFoundError(
            f"{folder} has no {WEIGHTS}. Give 'bundled' or a folder that `augsal train-readouts --out` wrote."
        )
    config, editor = _read_description(folder)
    shapes = read_shapes([folder / WEIGHTS], folder)
    if sum(map(len, config.tap_channels)) > len(shapes):
        raise ValueError(f"{folder / DESCRIPTION} describes more taps than {WEIGHTS} has tensors.")
    try:
        with torch.device("meta"):
            readouts = Readouts(config)
    except Exception as error:
        raise ValueError(f"No readouts can be built from {folder / DESCRIPTION}: {error}") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in readouts.state_dict().items()}
    check_shapes(wanted, shapes, folder / WEIGHTS)
    weights = {name: tensor.to(torch.float32, copy=True) for name, tensor in read_tensors([folder / WEIGHTS], folder)}
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{broken[0]} in {folder / WEIGHTS} has values that are not finite.")
    readouts.load_state_dict(weights, assign=True)
    return readouts.eval().requires_grad_(False), editor


def locate_folder(name: str | Path) -> Path:
    """The folder of readouts or of a predictor: a name of ``ASSETS``, or a path.

    Raises:
        TypeError: If ``name`` is no string or path.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"`name` must be 'bundled', 'photographs' or a folder, got {type(name).__name__}.")
    if name in ASSETS:
        return Path(str(files("augsal_transforms") / "assets" / ASSETS[str(name)]))
    return Path(os.path.expanduser(name))  # noqa: PTH111 - as in `locate_model`


def _read_description(folder: Path) -> tuple[ReadoutConfig, str]:
    path = folder / DESCRIPTION
    fields = read_json(path, folder)
    try:
        editor = fields.pop("editor")
        blocks = tuple(map(tuple, fields.pop("tap_channels")))
        classes = tuple(fields.pop("classes"))
        config = ReadoutConfig(unet=editor["unet"], tap_channels=blocks, classes=classes, **fields)
        if not isinstance(editor["name"], str):
            raise TypeError("`name` of `editor` must be a string.")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe readouts: {type(error).__name__}: {error}") from error
    return config, editor["name"]


def save_readouts(readouts: Readouts, folder: Path, editor: str) -> None:
    """Write readouts, half precision, with the name of their editor and a fingerprint of its U-Net."""
    weights = {name: value.half().contiguous().cpu() for name, value in readouts.state_dict().items()}
    description = asdict(readouts.config)
    description["editor"] = {"name": editor, "unet": description.pop("unet")}
    write_file(folder / WEIGHTS, save(weights))
    write_file(folder / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())

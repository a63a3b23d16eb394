"""The decoder as a matrix: A, its pseudo-inverse, γ, and the bounds of natural images (Sec. 4.2)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from augsal_transforms.diffusion.weights import open_tensors, read_json, read_shapes, read_tensors, weight_files
from augsal_transforms.files import write_file

WEIGHTS, DESCRIPTION = "augsal_calibration.safetensors", "augsal_calibration.json"
FINGERPRINTS = {"vae": ("scaling_factor", "decoder.conv_out.weight"), "unet": ("attention_head_dim", "conv_out.weight")}

# Latent to RGB in [−1, 1] for the VAE of SD 1.x, without intercept: the paper's reference [32].
PUBLISHED_DECODER = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))

# Standard deviations of R, G, B, brightness, local and global contrast over random areas of 100 SALICON images.
PHOTOGRAPHS = (0.124, 0.116, 0.133, 0.110, 0.051, 0.054)


@dataclass(frozen=True)
class Calibration:
    """The relation of a VAE's latent to RGB in [−1, 1], and the spread of natural images' properties.

    Attributes:
        decoder: A, (4, 3): RGB ≈ Z A + intercept.
        intercept: b, (3,).
        pseudo_inverse: A⁺, (3, 4), corrected so that one unit along a row is one unit of decoded RGB.
        std: (6,), standard deviation of each photometric property over original images.
        calibrated: Whether it was measured on this VAE; else it was taken from the literature.
        source: Description of the images and settings that it was measured with.

    Raises:
        TypeError: If a part is of another kind.
        ValueError: If a tensor has another shape, a value that is not finite, or a negative ``std``.
    """

    decoder: Tensor
    intercept: Tensor
    pseudo_inverse: Tensor
    std: Tensor
    calibrated: bool
    source: str

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            value = getattr(self, name)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise TypeError(f"`{name}` must be a tensor of floating-point numbers, got {value!r}.")
            if tuple(value.shape) != shape or not value.isfinite().all():
                raise ValueError(f"`{name}` must be {shape} finite numbers, got shape {tuple(value.shape)}: {value}.")
        if (self.std < 0).any():
            raise ValueError(f"`std` must hold standard deviations of 0 or more, got {self.std.tolist()}.")
        if not isinstance(self.calibrated, bool) or not isinstance(self.source, str):
            raise TypeError(
                f"`calibrated` must be a bool and `source` a string, got {self.calibrated!r} and {self.source!r}."
            )

    @property
    def gamma(self) -> Tensor:
        """γ = 1 A⁺, (4,): latent units per unit of RGB in [−1, 1] (Sec. 4.2)."""
        return self.pseudo_inverse.sum(dim=0)

    @classmethod
    def published(cls) -> Calibration:
        """The published factors of SD 1.x and the deviations of SALICON photographs."""
        decoder = torch.tensor(PUBLISHED_DECODER)
        return cls(
            decoder=decoder,
            intercept=torch.zeros(3),
            pseudo_inverse=torch.linalg.pinv(decoder.double()).float(),
            std=torch.tensor(PHOTOGRAPHS),
            calibrated=False,
            source="published SD 1.x factors; deviations of SALICON photographs",
        )

    def grey_latent(self, grey: Tensor) -> Tensor:
        """The latent that decodes to a grey: (μ 1 − b) A⁺ for μ in [−1, 1], (B, 1) → (B, 4, 1, 1).

        A⁺ without the gain: the gain makes up for the part of an edit that the target pass takes back, and a pivot is
        not an edit.
        """
        pivot: Tensor = (grey - self.intercept) @ self._plain_inverse
        return pivot[:, :, None, None]

    @cached_property
    def _plain_inverse(self) -> Tensor:
        inverse: Tensor = torch.linalg.pinv(self.decoder)  # once: on a GPU it waits for the device
        return inverse

    def to(self, device: torch.device) -> Calibration:
        """The same calibration on a device."""
        tensors = {name: getattr(self, name).to(device) for name in _TENSORS}
        return Calibration(**tensors, calibrated=self.calibrated, source=self.source)

    def save(self, folder: Path, model_folder: Path) -> None:
        """Write it into a folder, with a fingerprint of the VAE it belongs to.

        Args:
            folder: Folder to write to; in ``model_folder`` it is found whenever the model is loaded.
            model_folder: Folder of the pipeline that it was measured on.
        """
        tensors = {stored: getattr(self, name).cpu().contiguous() for name, stored in _TENSORS.items()}
        description = {"calibrated": self.calibrated, "source": self.source, "vae": fingerprint(model_folder)}
        write_file(folder / WEIGHTS, save(tensors))
        write_file(folder / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: Path, model_folder: Path) -> Calibration | None:
        """Read a folder's calibration for a model; ``None`` where there is none.

        Raises:
            ValueError: If it is broken, or belongs to another VAE.
        """
        path = folder / WEIGHTS
        if not os.path.lexists(path):
            return None
        description = read_json(folder / DESCRIPTION, folder)
        if lacking := [name for name in ("vae", "calibrated", "source") if name not in description]:
            raise ValueError(f"{folder / DESCRIPTION} lacks {', '.join(lacking)}. {_REMOVE}")
        if description["vae"] != fingerprint(model_folder):
            raise ValueError(
                f"{folder / WEIGHTS} was measured on another VAE than that of {model_folder}. "
                f"Measure it again: augsal calibrate --editor {model_folder} --data DIR --out {folder}"
            )
        shapes = read_shapes([path], folder)
        if wrong := [key for name, key in _TENSORS.items() if shapes.get(key) != _SHAPES[name]]:
            raise ValueError(f"{path} must hold `{wrong[0]}`, got the shapes {shapes}. {_REMOVE}")
        stored = {name: tensor.clone() for name, tensor in read_tensors([path], folder)}
        tensors = {name: stored[key] for name, key in _TENSORS.items()}
        try:
            return cls(**tensors, calibrated=description["calibrated"], source=description["source"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} with its {DESCRIPTION} holds no calibration: {error} {_REMOVE}") from error


# Attribute and its name in the file.
_TENSORS = {"decoder": "decoder", "intercept": "intercept", "pseudo_inverse": "pseudo_inverse", "std": "deviations"}
_SHAPES = {"decoder": (4, 3), "intercept": (3,), "pseudo_inverse": (3, 4), "std": (6,)}
_REMOVE = "Remove both calibration files and measure again with `augsal calibrate`."


def fingerprint(model_folder: Path, part: str = "vae") -> str:
    """SHA-256 of a network's last layer, as stored, and of one setting; any training changes it.

    Args:
        model_folder: Folder of the pipeline.
        part: ``"vae"``, to which a calibration belongs, or ``"unet"``, to which readouts belong.

    Raises:
        ValueError: If a file of the network is broken.
    """
    setting, last_layer = FINGERPRINTS[part]
    digest = hashlib.sha256()
    config = read_json(model_folder / part / "config.json", model_folder)
    digest.update(str(config.get(setting)).encode())
    for path in weight_files(model_folder, part):
        with open_tensors(path, model_folder) as weights:
            if last_layer in weights.keys():  # noqa: SIM118 - not a dict
                digest.update(weights.get_tensor(last_layer).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fit_decoder(latents: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor, float]:
    """Least squares of RGB on the latent, with an intercept, in float64.

    Without the intercept the gain along γ comes out wrong by more than half.

    Args:
        latents: (N, 4), scaled latent units, one row per latent cell.
        rgb: (N, 3), mean decoded RGB of each cell, in [−1, 1].

    Returns:
        A, (4, 3), b, (3,), and the share of variance explained, R².
    """
    latents, rgb = latents.double(), rgb.double()
    centred_latents, centred_rgb = latents - latents.mean(0), rgb - rgb.mean(0)
    gram = centred_latents.T @ centred_latents
    ridge = 1e-9 * gram.trace() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    decoder = torch.linalg.solve(gram + ridge, centred_latents.T @ centred_rgb)
    residual = centred_rgb - centred_latents @ decoder
    explained = 1 - residual.square().sum() / centred_rgb.square().sum()
    intercept = rgb.mean(0) - latents.mean(0) @ decoder
    return decoder.float(), intercept.float(), explained.item()


def correct_gain(pseudo_inverse: Tensor, gain: Tensor) -> Tensor:
    """G⁻¹ A⁺: so that a unit asked for is a unit decoded.

    Args:
        pseudo_inverse: A⁺, (3, 4).
        gain: G, (3, 3); row i is the RGB that came out for one unit of channel i put in.
    """
    corrected: Tensor = torch.linalg.inv(gain.double()) @ pseudo_inverse.double()
    return corrected.float()

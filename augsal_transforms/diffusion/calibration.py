"""The decoder as a matrix: A, its pseudo-inverse, γ, and the bounds of natural images (Sec. 4.2)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS, DESCRIPTION = "augsal_calibration.safetensors", "augsal_calibration.json"
FINGERPRINTS = {"vae": ("scaling_factor", "decoder.conv_out.weight"), "unet": ("attention_head_dim", "conv_out.weight")}

# Latent to RGB in [−1, 1] for the VAE of SD 1.x, without intercept: the paper's reference [32].
PUBLISHED_DECODER = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))

# Standard deviations of R, G, B, brightness, local and global contrast over random areas of 100 SALICON images.
PHOTOGRAPHS = (0.124, 0.116, 0.133, 0.110, 0.051, 0.054)


@dataclass(frozen=True)
class Calibration:
    """How a VAE's latent relates to RGB in [−1, 1], and how far natural images let an edit go.

    Attributes:
        decoder: A, (4, 3): RGB ≈ Z A + intercept.
        intercept: b, (3,).
        pseudo_inverse: A⁺, (3, 4), corrected so that one unit along a row is one unit of decoded RGB.
        std: (6,), standard deviation of each photometric property over original images.
        calibrated: Whether this was measured on the very VAE, or taken from the literature.
        source: What it was measured on, in words.
    """

    decoder: Tensor
    intercept: Tensor
    pseudo_inverse: Tensor
    std: Tensor
    calibrated: bool
    source: str

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

        A⁺ without the gain: a pivot is a place, not a step that the target pass takes a part of.
        """
        pivot: Tensor = (grey - self.intercept) @ torch.linalg.pinv(self.decoder)
        return pivot[:, :, None, None]

    def to(self, device: torch.device) -> Calibration:
        """The same calibration on a device."""
        tensors = {name: getattr(self, name).to(device) for name in _TENSORS}
        return Calibration(**tensors, calibrated=self.calibrated, source=self.source)

    def save(self, folder: Path, model_folder: Path) -> None:
        """Write it into a folder, with a fingerprint of the VAE it belongs to.

        Args:
            folder: Where it goes; beside the model, in ``model_folder``, it is found by itself.
            model_folder: The pipeline it was measured on.
        """
        save_file({stored: getattr(self, name).contiguous() for name, stored in _TENSORS.items()}, folder / WEIGHTS)
        description = {"calibrated": self.calibrated, "source": self.source, "vae": fingerprint(model_folder)}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, model_folder: Path) -> Calibration | None:
        """Read a folder's calibration for a model; ``None`` where there is none.

        Raises:
            ValueError: If it belongs to another VAE.
        """
        if not (folder / WEIGHTS).exists():
            return None
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["vae"] != fingerprint(model_folder):
            raise ValueError(
                f"{folder / WEIGHTS} was measured on another VAE than that of {model_folder}. "
                f"Measure it again: augsal calibrate --editor {model_folder} --data DIR --out {folder}"
            )
        stored = load_file(folder / WEIGHTS)
        tensors = {name: stored[key] for name, key in _TENSORS.items()}
        return cls(**tensors, calibrated=description["calibrated"], source=description["source"])


# Attribute and its name in the file.
_TENSORS = {"decoder": "decoder", "intercept": "intercept", "pseudo_inverse": "pseudo_inverse", "std": "deviations"}


def fingerprint(model_folder: Path, part: str = "vae") -> str:
    """SHA-256 of what makes a network's output its own: one setting and its last weights, as stored.

    Args:
        model_folder: The pipeline.
        part: ``"vae"`` (what a calibration belongs to) or ``"unet"`` (what readouts belong to).
    """
    setting, last_layer = FINGERPRINTS[part]
    digest = hashlib.sha256()
    config = json.loads((model_folder / part / "config.json").read_text())
    digest.update(str(config.get(setting)).encode())
    for path in sorted((model_folder / part).glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
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

"""What an edit gives to the target pass: Z_E, and the inserted token with its weight."""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.editor.edits import (
    COLORS,
    Brightness,
    Color,
    Contrast,
    Edit,
    scale_contrast,
    shift_brightness,
    shift_color,
    toward_color,
)
from augsal_transforms.editor.results import ImageAnalysis
from augsal_transforms.photometry import weighted_mean


def edit_latent(analysis: ImageAnalysis, edit: Edit, calibration: Calibration, config: EditConfig) -> Tensor:
    """Z_E: Eq. 1, Eq. 2 or the colour shift, scaled by A⁺ (Sec. 4.2)."""
    latent, region = analysis.latent, analysis.latent_mask
    mean_rgb, mean_grey = analysis.properties[None, :3], 2 * analysis.properties[None, 3:4] - 1
    if isinstance(edit, Contrast):
        mean_latent = weighted_mean(latent, region)[:, :, None, None]
        pivot = calibration.grey_latent(mean_grey) if config.pivot == "gamma" else mean_latent
        return scale_contrast(latent, region, edit.strength, pivot)
    if isinstance(edit, Brightness):
        return shift_brightness(latent, region, edit.strength, calibration.gamma)
    wanted = toward_color(mean_rgb, torch.tensor(COLORS[edit.name], device=latent.device), edit.strength)
    return shift_color(latent, region, wanted - mean_rgb, calibration.pseudo_inverse)


def inserted_tokens(model: DiffusionModel, jobs: list[tuple[ImageAnalysis, Edit]]) -> Tensor:
    """The tokens inserted before the words: empty ones, or colours (Sec. 4.1). Returns (B, 1, D)."""
    colors = {
        n: (analysis.source.prompt, analysis.word, edit.name)
        for n, (analysis, edit) in enumerate(jobs)
        if isinstance(edit, Color) and analysis.word is not None
    }
    tokens = [model.empty_token] * len(jobs)
    if colors:
        rows = model.embed_inserted(list(colors.values()))
        for n, row in zip(colors, rows, strict=True):
            tokens[n] = row[None, None]
    return torch.cat(tokens)


def injection_weight(analysis: ImageAnalysis, edit: Edit, config: EditConfig) -> float:
    """The inserted token's weight where M = 1: fades out as the edit does, 0 without a word."""
    if analysis.word is None:
        return 0.0
    return edit.magnitude * (config.color_injection if isinstance(edit, Color) else config.injection)

"""The U-Net's two passes: the source pass reads the image, the target pass denoises the edited latent.

Noise levels are timesteps, least noisy first; the level before the first is ``None``, the clean latent.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.attention import inject_cross_attention, record_cross_attention
from augsal_transforms.diffusion.model import DiffusionModel

Trajectory = list[tuple[Tensor, Tensor]]  # the noisy latent and the noise predicted for it, per level


def source_pass(
    model: DiffusionModel, config: EditConfig, latent: Tensor, context: Tensor, seeded_noise: Tensor
) -> tuple[Trajectory, Tensor]:
    """Take Z to the noisiest level and record what the U-Net sees on the way.

    One level is reached with seeded noise; several by DDIM inversion (conditional only, no guidance).

    Args:
        model: The frozen model.
        config: Its ``steps`` and ``noise_level`` are the schedule.
        latent: Z, (B, 4, h, w).
        context: The encoded prompts, (B, tokens, D).
        seeded_noise: ε, shaped like ``latent``; unused by the inversion.

    Returns:
        The trajectory, and C, (B, tokens, h', w'), the mean over levels, layers and heads (Sec. 3.1).
    """
    depth = attention_depth(model, config)
    levels = model.timesteps(config.steps, config.noise_level)
    noisy, noise = latent, seeded_noise if config.steps == 1 else model.predict_noise(latent, None, context)
    trajectory, maps = [], []
    for before, level in pairwise(levels):
        noisy = model.step(noisy, noise, before, level)
        with record_cross_attention(model.unet, depth) as attention:
            noise = model.predict_noise(noisy, level, context)
        trajectory.append((noisy, noise))
        maps.append(attention.average(latent.shape[-2] >> depth, latent.shape[-1] >> depth))
    return trajectory, torch.stack(maps).mean(dim=0)


def target_pass(
    model: DiffusionModel,
    config: EditConfig,
    latent: Tensor,
    edited_latent: Tensor,
    context: Tensor,
    trajectory: Trajectory,
    inserted: Tensor,
    injection: Tensor,
) -> Tensor:
    """Denoise Z_E with the edited prompt and the injected region (Fig. 3).

    At each level the source's own deviation from its trajectory is added back, so that a null edit is
    the identity however wrong the model's prediction is (as in direct inversion, Ju et al., 2024).

    Args:
        model: The frozen model.
        config: As in ``source_pass``.
        latent: Z, (B, 4, h, w).
        edited_latent: Z_E, shaped like ``latent``.
        context: The encoded prompts, (B, tokens, D).
        trajectory: From ``source_pass``.
        inserted: The inserted token's embedding, (B, 1, D).
        injection: Its map, (B, 1, h, w), in [0, 1].

    Returns:
        Z'_E, shaped like ``latent``; with one level, Z_E + √((1−ā)/ā) (ε_source − ε_target).
    """
    levels = model.timesteps(config.steps, config.noise_level)
    signal, _ = model.rates(levels[-1])
    target = trajectory[-1][0] + signal * (edited_latent - latent)
    cleaner = [latent, *(noisy for noisy, _ in trajectory)]
    with inject_cross_attention(model.unet, inserted.to(model.unet.dtype), injection):
        for k in reversed(range(len(trajectory))):
            noisy, source_noise = trajectory[k]
            target_noise = model.predict_noise(target, levels[k + 1], context)
            source_end = model.step(noisy, source_noise, levels[k + 1], levels[k])
            target_end = model.step(target, target_noise, levels[k + 1], levels[k])
            target = cleaner[k] + (target_end - source_end)  # in this order a null edit is exact, not nearly so
    return target


def attention_depth(model: DiffusionModel, config: EditConfig) -> int:
    """Where maps are about ``attention_size`` wide at the model's own resolution: latent / 2^depth, rounded down."""
    return max(0, (int(model.unet.config.sample_size) // config.attention_size).bit_length() - 1)

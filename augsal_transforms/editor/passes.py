"""The U-Net's two passes: the source pass reads the image, the target pass denoises the edited latent.

Timesteps stand least noisy first; the one before the first is ``None``, the clean latent.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.attention import (
    cross_attention_layers,
    inject_cross_attention,
    record_cross_attention,
)
from augsal_transforms.diffusion.batching import to_device
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.editor.results import ImageAnalysis

Trajectory = list[tuple[Tensor, Tensor]]  # the noisy latent and the noise predicted for it, at each timestep


def source_pass(
    model: DiffusionModel, config: EditConfig, latent: Tensor, context: Tensor, seeded_noise: Tensor
) -> tuple[Trajectory, Tensor]:
    """Take Z to the noisiest timestep and record C on the way.

    One timestep is reached with seeded noise; several by DDIM inversion (conditional only, no guidance).

    Args:
        model: The frozen model.
        config: Settings of the edits; ``steps`` and ``noise_level`` give the timesteps.
        latent: Z, (B, 4, h, w).
        context: The encoded prompts, (B, tokens, D).
        seeded_noise: ε, shaped like ``latent``; unused by the inversion.

    Returns:
        The trajectory, and C, (B, tokens, h', w'), the mean over timesteps, layers and heads (Sec. 3.1).
    """
    depth = attention_depth(model, config)
    timesteps = model.timesteps(config.steps, config.noise_level)
    noisy, noise = latent, seeded_noise if config.steps == 1 else model.predict_noise(latent, None, context)
    trajectory, maps = [], []
    for before, timestep in pairwise(timesteps):
        noisy = model.step(noisy, noise, before, timestep)
        with model.lock, record_cross_attention(model.unet, depth) as attention:
            noise = model.predict_noise(noisy, timestep, context)
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
    """Denoise Z_E with the inserted token and the injected region (Fig. 3).

    At each timestep the source's own deviation from its trajectory is added back, so that a null edit is
    the identity however wrong the model's prediction is (as in direct inversion, Ju et al., 2024).

    Args:
        model: The frozen model.
        config: Settings of the edits, as in ``source_pass``.
        latent: Z, (B, 4, h, w).
        edited_latent: Z_E, shaped like ``latent``.
        context: The encoded prompts, (B, tokens, D).
        trajectory: The result of ``source_pass``.
        inserted: The inserted token's embedding, (B, 1, D).
        injection: The inserted token's map, (B, 1, h, w), in [0, 1].

    Returns:
        Z'_E, shaped like ``latent``; with one timestep, Z_E + √((1−ā)/ā) (ε_source − ε_target).
    """
    timesteps = model.timesteps(config.steps, config.noise_level)
    signal, _ = model.rates(timesteps[-1])
    target = trajectory[-1][0] + signal * (edited_latent - latent)
    cleaner = [latent, *(noisy for noisy, _ in trajectory)]
    with model.lock, inject_cross_attention(model.unet, inserted.to(model.unet.dtype), injection):
        for k in reversed(range(len(trajectory))):
            noisy, source_noise = trajectory[k]
            target_noise = model.predict_noise(target, timesteps[k + 1], context)
            source_end = model.step(noisy, source_noise, timesteps[k + 1], timesteps[k])
            target_end = model.step(target, target_noise, timesteps[k + 1], timesteps[k])
            target = cleaner[k] + (target_end - source_end)  # in this order a null edit is exact, not nearly so
    return target


def denoise(
    model: DiffusionModel,
    config: EditConfig,
    analyses: list[ImageAnalysis],
    edited_latent: Tensor,
    inserted: Tensor,
    injection: list[float],
) -> Tensor:
    """Z_out: the edited latent after the target pass inside M, and Z outside, (B, 4, h, w).

    Args:
        model: The frozen model.
        config: Settings of the edits.
        analyses: Analyses of B images on equal letterboxes.
        edited_latent: Z_E, (B, 4, h, w).
        inserted: The inserted token's embedding, (B, 1, D).
        injection: Weight of that token where M = 1, for each image.
    """
    latent, latent_mask, context = (
        torch.cat([getattr(a, name) for a in analyses]) for name in ("latent", "latent_mask", "context")
    )
    nodes = zip(*(a.trajectory for a in analyses), strict=True)
    trajectory = [(torch.cat([z for z, _ in node]), torch.cat([e for _, e in node])) for node in nodes]
    token_map = latent_mask * to_device(torch.tensor(injection, dtype=latent.dtype), latent.device)[:, None, None, None]
    target = target_pass(model, config, latent, edited_latent, context, trajectory, inserted, token_map)
    denoised = edited_latent + latent_mask * config.guidance * (target - edited_latent)
    return torch.where(latent_mask > 0, denoised, latent)


def decode_residual(model: DiffusionModel, analyses: list[ImageAnalysis], output: Tensor) -> Tensor:
    """D(Z_out) − D(Z), the change of the image, (B, 3, H', W') in units of [0, 1]."""
    return model.decode(output) - torch.cat([analysis.decoded for analysis in analyses])


def inserted_tokens(model: DiffusionModel, analyses: list[ImageAnalysis], inserted_words: list[str]) -> Tensor:
    """The embeddings of the tokens that are inserted before the regions' words (Sec. 4.1).

    Args:
        model: The frozen model.
        analyses: Analyses of B images.
        inserted_words: The word to insert for each image, or "" for the empty token.

    Returns:
        (B, 1, D). An image whose caption names nothing gets the empty token.
    """
    located = {
        n: (analysis.source.prompt, analysis.word, inserted_word)
        for n, (analysis, inserted_word) in enumerate(zip(analyses, inserted_words, strict=True))
        if inserted_word and analysis.word
    }
    tokens = [model.empty_token] * len(analyses)
    if located:
        rows = model.embed_inserted(list(located.values()))
        for n, row in zip(located, rows, strict=True):
            tokens[n] = row[None, None]
    return torch.cat(tokens)


def attention_depth(model: DiffusionModel, config: EditConfig) -> int:
    """The depth d at which maps, latent / 2^d, are about ``attention_size`` wide at the model's own resolution."""
    return max(0, (int(model.unet.config.sample_size) // config.attention_size).bit_length() - 1)


def check_attention_size(model: DiffusionModel, config: EditConfig) -> None:
    """Refuse a width at which the model has no cross-attention maps.

    Raises:
        ValueError: If ``attention_size`` is none of the model's.
    """
    depths = sorted(set(cross_attention_layers(model.unet).values()), reverse=True)
    if attention_depth(model, config) not in depths:
        sizes = [model.unet.config.sample_size >> depth for depth in depths]
        raise ValueError(f"`attention_size` must be one of this model's {sizes}, got {config.attention_size}.")

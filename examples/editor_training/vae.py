"""The bundled VAE: 128 px to 32×32×4, reconstruction with a latent that is tied to colour."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from editor_training.rendering import to_signed
from editor_training.run import Run, load_part
from torch import Tensor

from augsal_transforms.progress import progress_bar

BATCH, CROP = 8, 64
KL_WEIGHT, COLOR_WEIGHT = 3e-7, 1.0
PEAK, PEAK_FROM_START = 2e-3, 1e-3  # learning rates from random weights, and from trained ones
SCENES = 0.4  # share of the batches that are scenes, beside photographs

# Meaning of the first three latent channels, in RGB in [−1, 1] per unit: grey, red − green, blue − yellow.
COLOR_AXES = ((0.45, 0.45, 0.45), (0.20, -0.20, 0.0), (0.10, 0.10, -0.20), (0.0, 0.0, 0.0))


def build_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 48, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )


def train_vae(
    images: Tensor,
    photographs: Tensor | None,
    start: Path | None,
    steps: int,
    path: Path,
    device: torch.device,
    seed: int = 0,
) -> tuple[AutoencoderKL, float]:
    """Train on crops: squared error, a small KL term, and a term that ties the latent to each cell's mean colour.

    Without the last term, colour ends up in two channels of almost no variance, and γ of such a latent is noise.

    Args:
        images: Scenes, (N, 3, 128, 128), uint8.
        photographs: Photographs of the same kind; a batch is of scenes or of photographs.
        start: Folder of a pipeline whose VAE the training starts from; its scaling factor is kept.
        steps: Number of steps.
        path: File of the checkpoint.
        device: Device of the VAE.
        seed: Seed of weights and batches.

    Returns:
        The VAE and the training time in seconds.
    """
    torch.manual_seed(seed)
    vae = (build_vae() if start is None else load_part(AutoencoderKL, start, "vae")).to(device)
    axes = torch.tensor(COLOR_AXES, device=device)
    peak = PEAK if start is None else PEAK_FROM_START
    run = Run("VAE", {"vae": vae}, path, steps=steps, peak=peak, weight_decay=1e-4, seed=seed)
    for _, rng in run:
        of_scenes = photographs is None or torch.rand((), generator=rng) < SCENES
        target = jittered_crops(images if of_scenes else photographs, rng).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(target).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=rng).to(device)
            reconstruction = vae.decode(posterior.mean + posterior.std * noise).sample
        error = F.mse_loss(reconstruction.float(), target)
        color = torch.einsum("bchw,cd->bdhw", posterior.mode().float(), axes)
        color_error = F.mse_loss(color, F.avg_pool2d(target, target.shape[-1] // color.shape[-1]))
        loss = error + COLOR_WEIGHT * color_error + KL_WEIGHT * posterior.kl().float().mean()
        run.descend(loss, psnr=-10 * torch.log10(error.detach() / 4).item(), color=color_error.item())
    run.finish()
    if start is None:
        chunks = images[:256].split(16)
        latents = torch.cat([vae.encode(to_signed(chunk).to(device)).latent_dist.mode() for chunk in chunks])
        vae.register_to_config(scaling_factor=1 / latents.std().item())
    return vae, run.seconds


def jittered_crops(images: Tensor, rng: torch.Generator) -> Tensor:
    """Draw random crops in [−1, 1], turned and mirrored; half get other gains and offsets, as edits do."""
    chosen = images[torch.randint(len(images), (BATCH,), generator=rng)]
    top, left = torch.randint(chosen.shape[-1] - CROP + 1, (2,), generator=rng).tolist()
    target = to_signed(chosen[..., top : top + CROP, left : left + CROP])
    turned, mirrored = torch.rand(2, generator=rng).tolist()
    target = target.transpose(-1, -2) if turned < 0.5 else target
    target = target.flip(-1) if mirrored < 0.5 else target
    gain = 0.6 + 0.8 * torch.rand(BATCH, 3, 1, 1, generator=rng)
    offset = 0.4 * torch.rand(BATCH, 3, 1, 1, generator=rng) - 0.2
    jittered = torch.rand(BATCH, 1, 1, 1, generator=rng) < 0.5
    return torch.where(jittered, (gain * target + offset).clamp(-1, 1), target)


@torch.no_grad()
def encode_images(vae: AutoencoderKL, images: Tensor, path: Path, device: torch.device) -> Tensor:
    """Encode every image to Z, (N, 4, 32, 32), scaled, on the CPU."""
    if path.exists():
        latents: Tensor = torch.load(path, weights_only=True)
        return latents
    chunks = progress_bar(images.split(32), desc="encoding images")
    with torch.autocast(device.type, torch.bfloat16):
        modes = [vae.encode(to_signed(chunk).to(device)).latent_dist.mode().float().cpu() for chunk in chunks]
    latents = torch.cat(modes) * vae.config.scaling_factor
    torch.save(latents, path)
    return latents

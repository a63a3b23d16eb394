"""A frozen Stable Diffusion model: load it, encode, predict noise, step between noise levels, decode."""

from __future__ import annotations

import importlib.util
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from augsal_transforms.diffusion.hub import check_model
from augsal_transforms.diffusion.prompts import encode_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class DiffusionModel:
    """A frozen latent diffusion model: its networks and what its scheduler knows about noise."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas: Tensor  # cumulative products ā_t, (T,), float64 on the CPU
    prediction_type: str
    folder: Path
    compiled: bool = False  # whether ``torch.compile`` compiles the networks
    lock: Any = field(default_factory=threading.RLock, repr=False, compare=False)  # held while the networks are changed

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        device: torch.device = next(self.unet.parameters()).device  # its own `device` looks at every module
        return device

    @property
    def downsampling(self) -> int:
        """Image pixels per latent cell, f."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """What image sides must be multiples of: f · 2^(n−1) for a U-Net of n levels."""
        return int(self.downsampling * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def resolution(self) -> int:
        """The side in pixels of the images the model was trained on."""
        return int(self.unet.config.sample_size * self.downsampling)

    @cached_property
    def empty_prompt(self) -> Tensor:
        """The encoded empty prompt, (1, tokens, D): encoded once, and alone, so that no batch changes it."""
        with torch.inference_mode(mode=False):  # whoever asks first, all may train on what follows from it
            return encode_prompts(self.tokenizer, self.text_encoder, [""])

    @property
    def empty_token(self) -> Tensor:
        """The empty token's embedding, (1, 1, D): what follows the start token when nothing is said.

        The released code inserts a blank instead, which CLIP's tokenizer drops, so nothing is inserted.
        """
        return self.empty_prompt[:, 1:2]

    def noise_levels(self, steps: int, noise_level: float) -> list[int | None]:
        """The clean level ``None``, then ``steps`` evenly spaced timesteps up to ``noise_level`` of all."""
        last = len(self.alphas) - 1
        return [None, *(min(max(1, round(noise_level * (last + 1) * k / steps)), last) for k in range(1, steps + 1))]

    def encode(self, images: Tensor) -> Tensor:
        """Z = E(I): images (B, 3, H, W) in [0, 1] → scaled latents (B, 4, H/f, W/f), float32.

        The mode of the posterior, not a sample: the same image always has the same latent.
        """
        scaled = 2 * images - 1
        mode = _precisely(self.vae, lambda: self.vae.encode(scaled.to(self.vae.dtype)).latent_dist.mode())
        latent: Tensor = mode * self.vae.config.scaling_factor
        return latent.contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """D(Z): scaled latents (B, 4, h, w) → RGB (B, 3, h·f, w·f), float32, [0, 1] but for overshoot."""
        scaled = latents / self.vae.config.scaling_factor
        decoded = _precisely(self.vae, lambda: self.vae.decode(scaled.to(self.vae.dtype)).sample)
        return decoded.contiguous() / 2 + 0.5

    def predict_noise(self, noisy: Tensor, level: int | None, context: Tensor) -> Tensor:
        """ε(z_t, t, prompt), float32, whatever the model was trained to predict."""
        dtype = self.unet.dtype
        timestep = torch.full((1,), level or 0, device=noisy.device)  # as a number, each would be compiled anew
        output: Tensor = self.unet(noisy.to(dtype), timestep, encoder_hidden_states=context.to(dtype)).sample.float()
        signal, noise = self.rates(level or 0)
        if self.prediction_type == "v_prediction":
            return signal * output + noise * noisy
        if self.prediction_type == "sample":
            return (noisy - signal * output) / noise
        return output

    def rates(self, level: int | None) -> tuple[float, float]:
        """√ā_t and √(1 − ā_t); 1 and 0 for the clean level."""
        alpha = 1.0 if level is None else self.alphas[level].item()
        return math.sqrt(alpha), math.sqrt(1 - alpha)

    def step(self, latent: Tensor, noise: Tensor, start: int | None, end: int | None) -> Tensor:
        """One deterministic DDIM step between any two noise levels (Song et al., 2021, Eq. 12)."""
        signal, sigma = self.rates(start)
        next_signal, next_sigma = self.rates(end)
        return next_signal * (latent - sigma * noise) / signal + next_sigma * noise


def check_finite(*outputs: Tensor) -> None:
    """Refuse what a network returns when its precision does not suffice."""
    if not torch.stack([output.isfinite().all() for output in outputs]).all():
        raise FloatingPointError("The model returned values that are not finite; load it with dtype=torch.float32.")


def _precisely(network: torch.nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """What ``run`` returns, float32; run again in float32 where half precision overflows, as SD 1.x's VAE does."""
    output = run().float()
    if next(network.parameters()).dtype == torch.float32 or output.isfinite().all():
        return output
    with _in_float32(network):
        return run()


@contextmanager
def _in_float32(module: torch.nn.Module) -> Iterator[None]:
    dtype = next(module.parameters()).dtype
    module.float()
    try:
        yield
    finally:
        torch.nn.Module.to(module, dtype)  # diffusers' own logs a warning each time


def load_model(
    folder: Path, *, device: torch.device, dtype: torch.dtype, backend: str | Callable[..., Any] | None = None
) -> DiffusionModel:
    """Load unet, vae, text encoder, tokenizer and scheduler, safetensors only, frozen.

    Args:
        folder: Of the pipeline.
        device: Where the networks run.
        dtype: Their precision.
        backend: What ``torch.compile`` compiles the U-Net and both halves of the VAE with; ``None``: nothing.

    Raises:
        FileNotFoundError: If a part is missing.
        ValueError: If it is not a Stable Diffusion 1.x or 2.x text-to-image model.
    """
    check_model(folder)
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextModel

    path = str(folder)
    frugal = importlib.util.find_spec("accelerate") is not None
    weights: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "torch_dtype": dtype}
    # A residual decoded in bfloat16 is off by up to 2 grey levels, in float16 by 0.3; CPUs have no fast float16.
    vae_dtype = torch.float16 if dtype == torch.bfloat16 and device.type == "cuda" else dtype
    weights["low_cpu_mem_usage"] = frugal  # diffusers prints a paragraph when it has to fall back
    networks = {
        "unet": UNet2DConditionModel.from_pretrained(path, subfolder="unet", **weights),
        "vae": AutoencoderKL.from_pretrained(path, subfolder="vae", **{**weights, "torch_dtype": vae_dtype}),
        "text_encoder": CLIPTextModel.from_pretrained(
            path, subfolder="text_encoder", use_safetensors=True, local_files_only=True, dtype=dtype
        ),
    }
    for network in networks.values():
        network.to(device).eval().requires_grad_(False)
    networks["vae"].to(memory_format=torch.channels_last)  # decoding takes 0.7 of the time on a CPU
    if device.type == "cuda":  # on a CPU the U-Net gains nothing
        networks["unet"].to(memory_format=torch.channels_last)
    if backend is not None:
        # Whole networks, because diffusers' repeated blocks are a part of the U-Net and none of the VAE, where most of
        # the operations are. On a CPU edits then take 1.01 of the time, with the blocks alone 0.97, and compiling one
        # size of the bundled editor takes 107 s of processor time, the blocks 24 s.
        for part in (networks["unet"], networks["vae"].encoder, networks["vae"].decoder):
            part.compile(backend=backend, dynamic=False)
    # Any SD scheduler's settings make a DDIM scheduler: only its noise table and prediction type are used.
    scheduler = DDIMScheduler.from_pretrained(path, subfolder="scheduler", local_files_only=True)
    return DiffusionModel(
        **networks,
        tokenizer=AutoTokenizer.from_pretrained(path, subfolder="tokenizer", local_files_only=True),
        alphas=scheduler.alphas_cumprod.double(),
        prediction_type=scheduler.config.prediction_type,
        folder=folder,
        compiled=backend is not None,
    )

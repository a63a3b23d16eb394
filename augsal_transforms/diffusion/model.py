"""A frozen Stable Diffusion model: encode images and prompts, predict noise, step between timesteps, decode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.diffusion.prompts import Word, embed_tokens, encode_prompts, locate_inserted, locate_words
from augsal_transforms.sharing import OwnLock

# Kernels of GPUs count to 2^31. An image of 512 px has tensors of 2^26 values in SD 1.x's decoder, so a batch of 32
# passes that limit. Eight such images fill a GPU, and need a quarter of the memory of 32.
VAE_PIXELS = 8 * 512 * 512  # of the images that go through the VAE together
PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class DiffusionModel:
    """A frozen latent diffusion model; ``load_model`` loads one from a folder.

    Every method that runs a network or the tokenizer holds ``lock``. A function that changes a network for some calls,
    as the recorders of attention and features do, holds it for all of them. So threads give what one thread gives.

    Attributes:
        unet: A diffusers ``UNet2DConditionModel``.
        vae: A diffusers ``AutoencoderKL``.
        text_encoder: A transformers ``CLIPTextModel``.
        tokenizer: Its fast tokenizer, which pads to the text encoder's context length.
        alphas: Cumulative products ā_t, (T,), float64 on the CPU.
        prediction_type: One of ``PREDICTION_TYPES``, the quantity that the U-Net predicts.
        folder: Folder of the pipeline.
        compiled: Whether ``torch.compile`` compiles the networks.
        lock: Reentrant lock of the networks.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas: Tensor
    prediction_type: str
    folder: Path
    compiled: bool = False
    lock: OwnLock = field(default_factory=OwnLock, repr=False, compare=False)

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        device: torch.device = next(self.unet.parameters()).device  # its own `device` looks at every module
        return device

    @property
    def downsampling(self) -> int:
        """Image pixels per latent cell, f."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """Image sides must be multiples of this number: f · 2^(n−1) for a U-Net of n blocks."""
        return int(self.downsampling * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def resolution(self) -> int:
        """The side in pixels of the images the model was trained on."""
        return int(self.unet.config.sample_size * self.downsampling)

    @cached_property
    def empty_prompt(self) -> Tensor:
        """The encoded empty prompt, (1, tokens, D): encoded once, and alone, so that no batch changes it."""
        with torch.inference_mode(mode=False):  # the first caller may be in inference mode, a later one may train
            return self.encode_prompts([""])

    @property
    def empty_token(self) -> Tensor:
        """The empty token's embedding, (1, 1, D): the token after the start token of the empty prompt.

        The released code inserts a blank instead, which CLIP's tokenizer drops, so nothing is inserted.
        """
        return self.empty_prompt[:, 1:2]

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Prompts as the U-Net is conditioned on them, (B, tokens, D); each different prompt is encoded once."""
        with self.lock:  # tokenizers, too, change while they run
            return encode_prompts(self.tokenizer, self.text_encoder, list(prompts))

    def locate_words(self, prompt: str, *, keep_stopwords: bool = False) -> list[Word]:
        """The words of a prompt that may name a region, with the positions of their tokens in ``encode_prompts``."""
        with self.lock:
            return locate_words(self.tokenizer, prompt, keep_stopwords=keep_stopwords)

    def embed_inserted(self, insertions: Sequence[tuple[str, Word, str]]) -> Tensor:
        """Embeddings of words that are inserted into prompts (Sec. 4.1).

        Args:
            insertions: B times a prompt, one of its words, and the word that is inserted before that one.

        Returns:
            (B, D), each the mean over the tokens of the inserted word, encoded within its prompt.
        """
        with self.lock:
            located = [locate_inserted(self.tokenizer, *insertion) for insertion in insertions]
            return embed_tokens(self.tokenizer, self.text_encoder, located)

    def timesteps(self, steps: int, noise_level: float) -> list[int | None]:
        """The timesteps of a pass, least noisy first.

        Args:
            steps: Number of noisy timesteps.
            noise_level: The noisiest one as a share of the training timesteps, in (0, 1).

        Returns:
            ``None`` for the clean latent, then ``steps`` evenly spaced timesteps.
        """
        last = len(self.alphas) - 1
        return [None, *(min(max(1, round(noise_level * (last + 1) * k / steps)), last) for k in range(1, steps + 1))]

    def encode(self, images: Tensor) -> Tensor:
        """Z = E(I): images (B, 3, H, W) in [0, 1] → scaled latents (B, 4, H/f, W/f), float32.

        The mode of the posterior, not a sample: the same image always has the same latent.
        """
        scaled = 2 * images - 1
        with self.lock:
            modes = [
                _run_finite(self.vae, partial(self._mode, part))
                for part in _split(scaled, images.shape[-2] * images.shape[-1])
            ]
        latent: Tensor = torch.cat(modes) * self.vae.config.scaling_factor
        return latent.contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """D(Z): scaled latents (B, 4, h, w) → RGB (B, 3, h·f, w·f), float32, [0, 1] but for overshoot."""
        scaled = latents / self.vae.config.scaling_factor
        with self.lock:
            parts = [
                _run_finite(self.vae, partial(self._sample, part))
                for part in _split(scaled, latents.shape[-2] * latents.shape[-1] * self.downsampling**2)
            ]
        return torch.cat(parts).contiguous() / 2 + 0.5

    def _mode(self, images: Tensor) -> Tensor:
        mode: Tensor = self.vae.encode(images.to(self.vae.dtype)).latent_dist.mode()
        return mode

    def _sample(self, latents: Tensor) -> Tensor:
        sample: Tensor = self.vae.decode(latents.to(self.vae.dtype)).sample
        return sample

    def predict_noise(self, noisy: Tensor, timestep: int | None, context: Tensor) -> Tensor:
        """ε(z_t, t, prompt), float32, whatever the model was trained to predict.

        Args:
            noisy: z_t, (B, 4, h, w).
            timestep: t; ``None`` is the clean latent.
            context: Encoded prompts, (B, tokens, D).

        Returns:
            ε, shaped like ``noisy``.
        """
        dtype = self.unet.dtype
        given = torch.full((1,), timestep or 0, device=noisy.device)  # as a number, each would be compiled anew
        with self.lock:
            output: Tensor = self.unet(noisy.to(dtype), given, encoder_hidden_states=context.to(dtype)).sample.float()
        signal, noise = self.rates(timestep or 0)
        if self.prediction_type == "v_prediction":
            return signal * output + noise * noisy
        if self.prediction_type == "sample":
            return (noisy - signal * output) / noise
        return output

    def rates(self, timestep: int | None) -> tuple[float, float]:
        """√ā_t and √(1 − ā_t); 1 and 0 for ``None``, the clean latent."""
        alpha = 1.0 if timestep is None else self.alphas[timestep].item()
        return math.sqrt(alpha), math.sqrt(1 - alpha)

    def step(self, latent: Tensor, noise: Tensor, start: int | None, end: int | None) -> Tensor:
        """One deterministic DDIM step between any two timesteps (Song et al., 2021, Eq. 12).

        Args:
            latent: z at ``start``, (B, 4, h, w).
            noise: ε, shaped like ``latent``.
            start: Timestep of ``latent``; ``None`` is the clean latent.
            end: Timestep of the result.

        Returns:
            z at ``end``, shaped like ``latent``.
        """
        signal, sigma = self.rates(start)
        next_signal, next_sigma = self.rates(end)
        return next_signal * (latent - sigma * noise) / signal + next_sigma * noise


def check_finite(*outputs: Tensor) -> None:
    """Refuse outputs of a network whose precision does not suffice.

    Raises:
        FloatingPointError: If a value is infinite or NaN.
    """
    read_numbers(outputs[0].new_empty(0, 1), *outputs)


def read_numbers(table: Tensor, *outputs: Tensor) -> list[list[float]]:
    """The rows of a table as numbers, and ``check_finite`` of the outputs they come from, in one wait for a GPU.

    Args:
        table: (N, M), of any type.
        outputs: Outputs of networks.

    Raises:
        FloatingPointError: If a value of the outputs is infinite or NaN.
    """
    finite = torch.stack([output.isfinite().all() for output in outputs]).all()
    *rows, verdict = torch.cat([table, finite.to(table).expand(1, table.shape[1])]).tolist()
    if not all(verdict):
        raise FloatingPointError("The model returned values that are not finite; load it with dtype=torch.float32.")
    return rows


def _split(batch: Tensor, pixels: int) -> tuple[Tensor, ...]:
    """A batch in parts of about equal size, each of at most ``VAE_PIXELS``, ``pixels`` being those of one image."""
    count = -(-len(batch) // max(1, VAE_PIXELS // pixels))
    parts: tuple[Tensor, ...] = torch.split(batch, -(-len(batch) // count))
    return parts


def _run_finite(network: torch.nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """The float32 result of ``run``; run again in float32 where half precision overflows, as in SD 1.x's VAE."""
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

"""The bundled U-Net and text encoder: noise prediction, and attention that finds the named objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from editor_training.rendering import GRID, MAX_NAMED
from editor_training.run import Run, load_part
from editor_training.tokenizer import MAX_TOKENS
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from augsal_transforms.diffusion.attention import record_cross_attention
from augsal_transforms.diffusion.prompts import locate_words

BATCH = 16
DROPPED = 0.1  # share of dropped captions, so that the model also learns images without one
SNR_LIMIT = 5.0  # min-SNR's γ (Hang et al., 2023)
LOW_NOISE = 400  # edits are made below this timestep: half of the draws are below it, and only there words are grounded
GROUNDING_WEIGHT = 0.5
PEAK, PEAK_FROM_START = 8e-4, 2e-4  # learning rates from random weights, and from trained ones


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(32, 96, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def noise_schedule() -> DDIMScheduler:
    """Make the noise schedule of Stable Diffusion 1.x."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@dataclass(frozen=True)
class Captioned:
    """What the networks are trained on: scenes, and after them photographs, which have the empty prompt.

    Attributes:
        latents: (N, 4, 32, 32), scaled.
        ids: Token ids of each prompt, and of the empty prompt at the end, (N + 1, tokens).
        tokens: Tokens of each named word, (N, named, tokens), 1 where a token belongs to the word.
        masks: Objects of the words, (N, named, 16, 16), uint8.
        scenes: Number of the scenes.
    """

    latents: Tensor
    ids: Tensor
    tokens: Tensor
    masks: Tensor
    scenes: int

    @classmethod
    def join(cls, scenes: dict[str, Any], tokenizer: CLIPTokenizer, latents: Tensor, photographs: Tensor) -> Captioned:
        """Join scenes and their latents with the latents of photographs, of which there may be none."""
        count = len(photographs)
        prompts = [*scenes["caption"], *[""] * (count + 1)]
        ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        tokens = named_tokens(tokenizer, scenes["caption"], scenes["words"])
        tokens = torch.cat([tokens, tokens.new_zeros(count, *tokens.shape[1:])])
        masks = torch.cat([scenes["masks"], scenes["masks"].new_zeros(count, *scenes["masks"].shape[1:])])
        return cls(torch.cat([latents, photographs]), ids, tokens, masks, len(latents))

    def draw(self, rng: torch.Generator) -> Tensor:
        """Draw a batch's numbers; where there are photographs, they are its second half."""
        chosen = torch.randint(self.scenes, (BATCH,), generator=rng)
        if photographs := len(self.latents) - self.scenes:
            half = BATCH // 2
            chosen[half:] = self.scenes + torch.randint(photographs, (BATCH - half,), generator=rng)
        return chosen


def train_unet(
    data: Captioned,
    tokenizer: CLIPTokenizer,
    start: Path | None,
    steps: int,
    path: Path,
    device: torch.device,
    seed: int = 0,
) -> tuple[UNet2DConditionModel, CLIPTextModel, float]:
    """Train both networks together, and return them with the training time in seconds.

    With ``start``, a pipeline's folder, the training starts from its networks.
    """
    torch.manual_seed(seed)
    if start is None:
        unet, text_encoder, peak = build_unet(), build_text_encoder(tokenizer), PEAK
    else:
        unet, peak = load_part(UNet2DConditionModel, start, "unet"), PEAK_FROM_START
        text_encoder = load_part(CLIPTextModel, start, "text_encoder")
    unet, text_encoder, scheduler = unet.to(device), text_encoder.to(device), noise_schedule()
    networks = {"unet": unet, "text_encoder": text_encoder}
    run = Run("U-Net", networks, path, steps=steps, peak=peak, weight_decay=1e-2, seed=seed)
    for _, rng in run:
        chosen = data.draw(rng)
        dropped = torch.rand(BATCH, generator=rng) < DROPPED
        noise = torch.randn(BATCH, *data.latents.shape[1:], generator=rng)
        limit = torch.where(torch.rand(BATCH, generator=rng) < 0.5, LOW_NOISE, scheduler.config.num_train_timesteps)
        timesteps = (torch.rand(BATCH, generator=rng) * limit).long()
        noisy = scheduler.add_noise(data.latents[chosen], noise, timesteps).to(device)
        prompts = torch.where(dropped[:, None], data.ids[-1:], data.ids[chosen]).to(device)
        with torch.autocast(device.type, torch.bfloat16), record_cross_attention(unet, depth=1) as attention:
            predicted = unet(noisy, timesteps.to(device), encoder_hidden_states=text_encoder(prompts)[0]).sample
        snr = compute_snr(scheduler, timesteps)
        weight = (snr.clamp(max=SNR_LIMIT) / snr).to(device)
        denoising = ((predicted.float() - noise.to(device)).square().mean((1, 2, 3)) * weight).mean()
        findable = data.tokens[chosen] * ((timesteps < LOW_NOISE) & ~dropped)[:, None, None]
        masks = data.masks[chosen].float() / 255
        grounding = ground_words(attention.average(GRID, GRID).float(), findable.to(device), masks.to(device))
        run.descend(denoising + GROUNDING_WEIGHT * grounding, noise=denoising.item(), words=grounding.item())
    run.finish()
    return unet, text_encoder, run.seconds


def ground_words(cross_attention: Tensor, tokens: Tensor, masks: Tensor) -> Tensor:
    """Compute the two losses of TokenCompose (Wang et al., 2024) between the words' attention and their objects.

    Args:
        cross_attention: C, (B, tokens, 16, 16).
        tokens: Tokens of each word, (B, named, tokens), 1 where a token belongs to the word, all 0 in an unused slot.
        masks: Masks of the objects, (B, named, 16, 16), in [0, 1].
    """
    word = torch.einsum("btp,bnt->bnp", cross_attention.flatten(2), tokens)
    mask = masks.flatten(2)
    used = ((tokens.sum(-1) > 0) & (mask.sum(-1) > 0)).float()
    inside = (word * mask).sum(-1) / word.sum(-1).clamp(min=1e-6)
    pixel = F.binary_cross_entropy(word.clamp(1e-6, 1 - 1e-6), mask, reduction="none").mean(-1)
    return (((1 - inside).square() + pixel) * used).sum() / used.sum().clamp(min=1)


def named_tokens(tokenizer: CLIPTokenizer, captions: list[str], words: list[list[str]]) -> Tensor:
    """Locate the tokens of the named words, (N, named, tokens), 1 where a token belongs to the word."""
    table = torch.zeros(len(captions), MAX_NAMED, MAX_TOKENS)
    for n, (caption, names) in enumerate(zip(captions, words, strict=True)):
        located = {word.text: word.tokens for word in locate_words(tokenizer, caption)}
        for slot, name in enumerate(names):
            table[n, slot, list(located[name])] = 1
    return table

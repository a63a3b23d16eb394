"""Train the bundled editor: a small latent diffusion model of the Stable Diffusion classes.

    python examples/train_bundled_editor.py --out augsal_transforms/assets/bundled

Renders captioned scenes, trains a tokenizer, a VAE (reconstruction on crops), then the text encoder
and the U-Net together (noise prediction with min-SNR weights, EMA, 10 % dropped captions). Because the
scenes know where their objects are, the cross-attention of each named word is also taught to lie on
its object, as in TokenCompose (Wang et al., CVPR 2024). Checkpoints go to ``--runs``; running the same
command again goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import EMAModel, compute_snr
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from augsal_transforms import Calibration, SaliencyEditor, calibrate
from augsal_transforms.data.scenes import render_scene
from augsal_transforms.editor.attention import record_cross_attention
from augsal_transforms.editor.prompts import locate_words
from augsal_transforms.photometry import PROPERTIES

TRAINING_SEED = 1  # scenes of this seed are for training the editor only
MAX_TOKENS, MAX_NAMED, GRID = 40, 3, 16

# What the first three latent channels should mean, in RGB in [−1, 1] per unit: grey, red − green, blue − yellow.
COLOR_AXES = ((0.45, 0.45, 0.45), (0.20, -0.20, 0.0), (0.10, 0.10, -0.20), (0.0, 0.0, 0.0))


class CaptionedScenes(Dataset[dict[str, Any]]):
    """What training needs of a scene: pixels, caption, and where each named object is on a 16×16 grid."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        scene = render_scene(index, TRAINING_SEED)
        named = [thing for thing in scene.objects if thing.named]
        masks = torch.zeros(MAX_NAMED, GRID, GRID)
        for slot, thing in enumerate(named):
            masks[slot] = F.adaptive_avg_pool2d(thing.mask[None].float(), GRID)[0]
        words = [thing.kind for thing in named]
        return {"image": scene.image, "caption": scene.caption, "words": words, "masks": (masks * 255).byte()}


def render_pool(count: int, path: Path) -> dict[str, Any]:
    if path.exists():
        return torch.load(path, weights_only=True)
    loader = DataLoader(CaptionedScenes(count), batch_size=64, num_workers=2, collate_fn=list)
    scenes = [scene for batch in tqdm(loader, desc="rendering scenes") for scene in batch]
    pool: dict[str, Any] = {key: torch.stack([s[key] for s in scenes]) for key in ("image", "masks")}
    pool |= {key: [s[key] for s in scenes] for key in ("caption", "words")}
    torch.save(pool, path)
    return pool


def train_tokenizer(captions: list[str]) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer with a vocabulary of its own."""
    special = ["<|startoftext|>", "<|endoftext|>"]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=special,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(captions, trainer)
    learned = json.loads(bpe.to_str())["model"]
    vocabulary = dict(learned["vocab"])
    for letter in sorted(alphabet):  # CLIP ends words with their last letter's own token
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def build_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(24, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )


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


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def save_checkpoint(path: Path, **state: Any) -> None:
    torch.save(state, path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)


def train_vae(images: Tensor, phases: tuple[tuple[int, float], ...], path: Path, seed: int = 0) -> AutoencoderKL:
    """Train on crops, in phases of (steps, weight of the colour term).

    First reconstruction alone; it leaves colour in two channels of almost no variance, and γ of such a
    latent is noise. Then a colour term ties the latent, by a fixed matrix, to the mean colour of each cell.
    """
    torch.manual_seed(seed)
    vae = build_vae()
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=1e-4)
    axes = torch.tensor(COLOR_AXES)
    start = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        vae.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    schedule = [(k, steps, color_weight) for steps, color_weight in phases for k in range(steps)]
    progress = tqdm(range(start, len(schedule)), initial=start, total=len(schedule), desc="VAE")
    for step in progress:
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        target = jittered_crops(images, rng)
        posterior = vae.encode(target).latent_dist
        reconstruction = vae.decode(posterior.sample(generator=rng)).sample
        error = F.mse_loss(reconstruction, target)
        color = torch.einsum("bchw,cd->bdhw", posterior.mode(), axes)
        color_error = F.mse_loss(color, F.avg_pool2d(target, target.shape[-1] // color.shape[-1]))
        k, steps, color_weight = schedule[step]
        loss = F.l1_loss(reconstruction, target) + 2 * error + color_weight * color_error + 1e-6 * posterior.kl().mean()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(k, steps, 2e-3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        progress.set_postfix(psnr=f"{10 * math.log10(4 / error.item()):.1f}", color=f"{color_error.item():.4f}")
        if (step + 1) % 100 == 0 or step + 1 == len(schedule):
            save_checkpoint(path, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step + 1)
    with torch.no_grad():
        chunks = images[:256].split(16)
        latents = torch.cat([vae.encode(chunk.float() / 127.5 - 1).latent_dist.mode() for chunk in chunks])
    vae.register_to_config(scaling_factor=1 / latents.std().item())
    return vae.eval().requires_grad_(False)


def jittered_crops(images: Tensor, rng: torch.Generator, batch: int = 16, crop: int = 64) -> Tensor:
    """Random crops in [−1, 1], half of them with other gains and offsets: edits leave the scenes' range."""
    chosen = images[torch.randint(len(images), (batch,), generator=rng)]
    top, left = torch.randint(chosen.shape[-1] - crop + 1, (2,), generator=rng).tolist()
    target = chosen[..., top : top + crop, left : left + crop].float() / 127.5 - 1
    gain = 0.6 + 0.8 * torch.rand(batch, 3, 1, 1, generator=rng)
    offset = 0.4 * torch.rand(batch, 3, 1, 1, generator=rng) - 0.2
    jittered = torch.rand(batch, 1, 1, 1, generator=rng) < 0.5
    return torch.where(jittered, (gain * target + offset).clamp(-1, 1), target)


def ground_words(cross_attention: Tensor, tokens: Tensor, masks: Tensor) -> Tensor:
    """How far the attention of named words is from their objects (TokenCompose's two terms).

    Args:
        cross_attention: C, (B, tokens, 16, 16).
        tokens: (B, named, tokens), 1 where a token belongs to the word, all 0 where the slot is unused.
        masks: (B, named, 16, 16), the objects, in [0, 1].
    """
    word = torch.einsum("btp,bnt->bnp", cross_attention.flatten(2), tokens)
    mask = masks.flatten(2)
    used = ((tokens.sum(-1) > 0) & (mask.sum(-1) > 0)).float()
    inside = (word * mask).sum(-1) / word.sum(-1).clamp(min=1e-6)
    pixel = F.binary_cross_entropy(word.clamp(1e-6, 1 - 1e-6), mask, reduction="none").mean(-1)
    return (((1 - inside).square() + pixel) * used).sum() / used.sum().clamp(min=1)


def named_tokens(tokenizer: CLIPTokenizer, captions: list[str], words: list[list[str]]) -> Tensor:
    """(N, named, tokens), 1 where a token belongs to the named word."""
    table = torch.zeros(len(captions), MAX_NAMED, MAX_TOKENS)
    for n, (caption, names) in enumerate(zip(captions, words, strict=True)):
        located = {word.text: word.tokens for word in locate_words(tokenizer, caption)}
        for slot, name in enumerate(names):
            table[n, slot, list(located[name])] = 1
    return table


@torch.no_grad()
def encode_pool(vae: AutoencoderKL, images: Tensor, path: Path) -> Tensor:
    if path.exists():
        latents: Tensor = torch.load(path, weights_only=True)
        return latents
    chunks = tqdm(images.split(32), desc="encoding scenes")
    modes = [vae.encode(chunk.float() / 127.5 - 1).latent_dist.mode() for chunk in chunks]
    latents = torch.cat(modes) * vae.config.scaling_factor
    torch.save(latents, path)
    return latents


def noise_schedule() -> DDIMScheduler:
    """The noise of Stable Diffusion 1.x."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def train_unet(
    latents: Tensor,
    pool: dict[str, Any],
    tokenizer: CLIPTokenizer,
    steps: int,
    path: Path,
    seed: int = 0,
    batch: int = 16,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    torch.manual_seed(seed)
    unet, text_encoder, scheduler = build_unet(), build_text_encoder(tokenizer), noise_schedule()
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-2)
    average = EMAModel(parameters, decay=0.999, use_ema_warmup=True, power=0.75)
    start = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        for part, name in (
            (unet, "unet"),
            (text_encoder, "text_encoder"),
            (optimizer, "optimizer"),
            (average, "average"),
        ):
            part.load_state_dict(saved[name])
        start = saved["step"]
    tokens = named_tokens(tokenizer, pool["caption"], pool["words"])
    ids = tokenizer([*pool["caption"], ""], padding="max_length", truncation=True, return_tensors="pt").input_ids
    progress = tqdm(range(start, steps), initial=start, total=steps, desc="U-Net")
    for step in progress:
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(len(latents), (batch,), generator=rng)
        dropped = torch.rand(batch, generator=rng) < 0.1
        noise = torch.randn(batch, *latents.shape[1:], generator=rng)
        # Half of the draws from the low noise at which edits are made.
        timesteps = torch.randint(1000, (batch,), generator=rng)
        timesteps = torch.where(torch.rand(batch, generator=rng) < 0.5, timesteps, timesteps * 2 // 5)
        context = text_encoder(torch.where(dropped[:, None], ids[-1:], ids[chosen]))[0]
        noisy = scheduler.add_noise(latents[chosen], noise, timesteps)
        with record_cross_attention(unet, level=1) as attention:
            predicted = unet(noisy, timesteps, encoder_hidden_states=context).sample
        weight = compute_snr(scheduler, timesteps).clamp(max=5) / compute_snr(scheduler, timesteps)  # min-SNR, γ = 5
        denoising = (F.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3)) * weight).mean()
        named = tokens[chosen] * ~dropped[:, None, None]
        grounding = ground_words(attention.average(GRID, GRID), named, pool["masks"][chosen].float() / 255)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, 8e-4)
        optimizer.zero_grad()
        (denoising + 0.3 * grounding).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.step(parameters)
        progress.set_postfix(noise=f"{denoising.item():.3f}", words=f"{grounding.item():.3f}")
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = {"optimizer": optimizer.state_dict(), "average": average.state_dict(), "step": step + 1}
            save_checkpoint(path, unet=unet.state_dict(), text_encoder=text_encoder.state_dict(), **state)
    average.copy_to(parameters)
    return unet.eval(), text_encoder.eval()


@torch.no_grad()
def reconstruction_psnr(editor: SaliencyEditor, images: list[Tensor]) -> float:
    batch = torch.stack(images).float() / 255
    decoded = torch.cat([editor.model.decode(editor.model.encode(chunk)) for chunk in batch.split(16)])
    return -10 * math.log10(F.mse_loss(decoded.clamp(0, 1), batch).item())


def card(editor: SaliencyEditor, calibration: Calibration, psnr: float, options: argparse.Namespace) -> str:
    model, (plain, colored) = editor.model, options.vae_steps
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M"
        for name, part in (("U-Net", model.unet), ("VAE", model.vae), ("text encoder", model.text_encoder))
    )
    bounds = ", ".join(f"{name} {x:.3f}" for name, x in zip(PROPERTIES, calibration.deviations.tolist(), strict=True))
    gamma = ", ".join(f"{g:.3f}" for g in calibration.gamma.tolist())
    return f"""# The bundled editor

A latent diffusion pipeline of the Stable Diffusion classes, small enough to ship: 128 px images, 32×32×4 latents,
a CLIP text encoder with a vocabulary of its own. Parameters: {sizes}. Weights are float16 safetensors.

**For**: trying the package offline, tests, examples, procedural scenes. **Not for**: real photographs, and it does
not generate presentable pictures. It has seen only rendered scenes and their captions, so a word of a photograph's
caption that scenes do not use has no meaning to it; the region is then little more than the saliency map. For
photographs use `"sd-v1-5"`.

| | |
|---|---|
| data | {options.scenes} procedural scenes (`augsal_transforms.data.scenes`), series {TRAINING_SEED}, and captions |
| VAE | {plain} steps of 16 crops of 64 px, then {colored} with the latent tied to colour; \
held-out scenes {psnr:.1f} dB |
| U-Net and text encoder | {options.unet_steps} steps of 16, min-SNR (γ = 5), 10 % dropped captions, \
EMA 0.999, attention of named words taught to lie on their objects (TokenCompose) |
| seeds | 0 for weights and batches |
| calibration | {calibration.source} (held out); γ = {gamma} |
| standard deviations | {bounds} |
| made by | `python examples/train_bundled_editor.py --out augsal_transforms/assets/bundled` |

No photograph and no human gaze went into it. Licence: Apache-2.0, as the package.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the pipeline folder goes")
    parser.add_argument("--runs", type=Path, default=Path("runs/bundled"), help="rendered scenes and checkpoints")
    parser.add_argument("--scenes", type=int, default=6144)
    parser.add_argument("--vae-steps", type=int, nargs=2, default=(2200, 800), help="reconstruction, then with colour")
    parser.add_argument("--unet-steps", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, in a minute")
    options = parser.parse_args()
    if options.smoke:
        options.scenes, options.vae_steps, options.unet_steps = 64, (40, 40), 4
    options.runs.mkdir(parents=True, exist_ok=True)

    pool = render_pool(options.scenes, options.runs / f"scenes-{options.scenes}.pt")
    tokenizer = train_tokenizer(pool["caption"])
    plain, colored = options.vae_steps
    vae = train_vae(pool["image"], ((plain, 0.0), (colored, 2.0)), options.runs / f"vae-{plain}-{colored}.pt")
    latents = encode_pool(vae, pool["image"], options.runs / f"latents-{options.scenes}-{plain}-{colored}.pt")
    unet, text_encoder = train_unet(
        latents, pool, tokenizer, options.unet_steps, options.runs / f"unet-{options.unet_steps}.pt"
    )
    pipeline = StableDiffusionPipeline(
        **{"unet": unet.half(), "vae": vae.half(), "text_encoder": text_encoder.half(), "tokenizer": tokenizer},
        **{"scheduler": noise_schedule(), "safety_checker": None, "feature_extractor": None},
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(options.out, safe_serialization=True)

    editor = SaliencyEditor.from_pretrained(str(options.out), calibration=Calibration.published())
    held_out = [render_scene(options.scenes + n, TRAINING_SEED).image for n in range(200 if not options.smoke else 32)]
    calibration = calibrate(editor, held_out)
    calibration.save(options.out, options.out)
    psnr = reconstruction_psnr(editor, held_out)
    (options.out / "README.md").write_text(card(editor, calibration, psnr, options))
    print(f"{options.out}: {calibration.source}, reconstruction {psnr:.1f} dB")


if __name__ == "__main__":
    main()

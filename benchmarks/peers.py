"""Other methods of editing an image with the same networks: the released procedure, null-text inversion, diffusers'.

The first two are written anew from their descriptions, to measure their cost: only the passes through the networks are
performed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from counting import Method
from diffusers import DDIMInverseScheduler, DDIMScheduler, DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from PIL.Image import Image
from torch import Tensor

from augsal_transforms.diffusion.model import DiffusionModel

RELEASED_LEVELS = (0, 0, 166, 332, 498, 664, 830)  # the released code begins at −1, which no noise table has
GUIDANCE = 7.5
FULL_STEPS = 50  # of null-text inversion
INNER_STEPS = 10  # of null-text optimisation, without its early stop


@dataclass(frozen=True)
class Steps:
    """The documented numbers of steps."""

    ledits: int = 30
    diffedit: int = 50
    pix2pix_zero: int = 50
    img2img: int = 50
    null_text: int = 5  # of 50

    @classmethod
    def smoke(cls) -> Steps:
        return cls(ledits=4, diffedit=5, pix2pix_zero=2, img2img=10, null_text=1)


def set_attention(unet: Any, *, fused: bool) -> None:
    """Give the networks new attention processors and frozen weights, because other methods change both."""
    unet.set_attn_processor(AttnProcessor2_0() if fused else AttnProcessor())
    unet.requires_grad_(False)


@torch.no_grad()
def released_procedure(model: DiffusionModel, image: Tensor, prompt: str, attempts: int) -> None:
    """Run six U-Net passes of analysis and eight per attempt; feature aggregators and readouts are left out.

    Args:
        model: Networks to run.
        image: (1, 3, H, W), in [0, 1].
        prompt: Caption of the image.
        attempts: Number of attempts, the first included; each lowers the strength and repeats all passes.
    """
    _analyse_as_released(model, image, prompt)
    latent = model.encode(image)  # encoded again, in the other range
    for _ in range(attempts):
        context = torch.cat([model.encode_prompts([text]) for text in ("", prompt)])
        noise = model.predict_noise(latent.repeat(2, 1, 1, 1), 21, context)
        edited = model.decode(model.step(latent, _guided(*noise.split(1)), 21, 1))
        model.decode(latent)  # a reconstruction that nothing uses
        _analyse_as_released(model, edited.clamp(0, 1), prompt)


def _analyse_as_released(model: DiffusionModel, image: Tensor, prompt: str) -> None:
    context = model.encode_prompts([prompt])
    _invert(model, model.encode(image), context, list(RELEASED_LEVELS))


def _invert(model: DiffusionModel, latent: Tensor, context: Tensor, levels: list[int]) -> list[Tensor]:
    """Invert by DDIM with the prompt: return the latents at all noise levels, one pass between neighbours."""
    trajectory = [latent]
    for level, following in pairwise(levels):
        trajectory.append(
            model.step(trajectory[-1], model.predict_noise(trajectory[-1], level, context), level, following)
        )
    return trajectory


def _guided(without: Tensor, conditional: Tensor) -> Tensor:
    return without + GUIDANCE * (conditional - without)


def null_text(model: DiffusionModel, latent: Tensor, prompt: str, steps: int) -> None:
    """Run null-text inversion (Mokady et al., 2023) and prompt-to-prompt, ``steps`` steps of each.

    DDIM inversion with the prompt, ten steps of Adam on the empty prompt's embedding per level, then both prompts with
    guidance. Editing the attention maps costs next to nothing and is left out, as are one encode and one decode.
    """
    levels = [1000 // FULL_STEPS * n for n in range(steps + 1)]
    with torch.no_grad():
        context = model.encode_prompts([prompt])
        trajectory = _invert(model, latent, context, levels)
    latent, nothing = trajectory[-1], model.empty_prompt.float()
    for n in reversed(range(steps)):
        step = levels[n + 1], levels[n]
        with torch.no_grad():
            conditional = model.predict_noise(latent, step[0], context)
        nothing = nothing.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([nothing], lr=1e-2)
        for _ in range(INNER_STEPS):
            guided = _guided(model.predict_noise(latent, step[0], nothing), conditional)
            loss = F.mse_loss(model.step(latent, guided, *step), trajectory[n])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            noise = model.predict_noise(latent.repeat(2, 1, 1, 1), step[0], torch.cat([nothing, context]))
            latent = model.step(latent, _guided(*noise.split(1)), *step)
    both = trajectory[-1].repeat(2, 1, 1, 1)
    with torch.no_grad():
        for start, end in pairwise(reversed(levels)):
            noise = model.predict_noise(both.repeat(2, 1, 1, 1), start, torch.cat([nothing, nothing, context, context]))
            both = model.step(both, _guided(*noise.split(2)), start, end)


def _ledits(parts: dict[str, Any], image: Image, prompt: str, steps: int) -> None:
    solver = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}  # the pipeline's own choice
    scheduler = DPMSolverMultistepScheduler.from_config(parts["scheduler"].config, **solver)
    pipeline = _quiet(diffusers.LEditsPPPipelineStableDiffusion(**{**parts, "scheduler": scheduler}))
    pipeline.invert(image=image, num_inversion_steps=steps)
    pipeline(editing_prompt=[prompt], edit_guidance_scale=10.0, edit_threshold=0.75)


def _diffedit(parts: dict[str, Any], image: Image, prompt: str, steps: int) -> None:
    inverse = DDIMInverseScheduler.from_config(parts["scheduler"].config)
    pipeline = _quiet(diffusers.StableDiffusionDiffEditPipeline(**parts, inverse_scheduler=inverse))
    mask = pipeline.generate_mask(image, target_prompt=prompt, source_prompt="", num_inference_steps=steps)
    latents = pipeline.invert(prompt=prompt, image=image, num_inference_steps=steps).latents
    pipeline(prompt=prompt, mask_image=mask, image_latents=latents, num_inference_steps=steps)


def _pix2pix_zero(parts: dict[str, Any], image: Image, prompt: str, steps: int) -> None:
    inverse = DDIMInverseScheduler.from_config(parts["scheduler"].config)
    extra = {"inverse_scheduler": inverse, "caption_generator": None, "caption_processor": None}
    pipeline = _quiet(diffusers.StableDiffusionPix2PixZeroPipeline(**parts, **extra))
    latents = pipeline.invert(prompt, image=image, num_inference_steps=steps).latents
    source, target = pipeline.get_embeds([""]), pipeline.get_embeds([prompt])
    size = {"height": image.height, "width": image.width}
    given = {"source_embeds": source, "target_embeds": target, "latents": latents, "negative_prompt": prompt}
    pipeline(prompt, **given, **size, num_inference_steps=steps, cross_attention_guidance_amount=0.15)


def _img2img(parts: dict[str, Any], image: Image, prompt: str, steps: int) -> None:
    pipeline = _quiet(diffusers.StableDiffusionImg2ImgPipeline(**parts))
    pipeline(prompt, image=image, strength=0.3, num_inference_steps=steps)


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_parts(model: DiffusionModel) -> dict[str, Any]:
    """Parts of a Stable Diffusion pipeline of diffusers, without a safety checker."""
    return {
        **{name: getattr(model, name) for name in ("vae", "text_encoder", "tokenizer", "unet")},
        "scheduler": DDIMScheduler.from_pretrained(str(model.folder), subfolder="scheduler", local_files_only=True),
        **{"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    }


def diffusers_methods(model: DiffusionModel, image: Image, prompt: str, steps: Steps) -> Iterator[Method]:
    """LEDITS++, DiffEdit, pix2pix-zero and img2img at their documented settings, one image at a time."""
    runs: dict[str, tuple[Callable[..., None], int]] = {
        "LEDITS++": (_ledits, steps.ledits),
        "DiffEdit": (_diffedit, steps.diffedit),
        "pix2pix-zero": (_pix2pix_zero, steps.pix2pix_zero),
        "img2img, strength 0.3": (_img2img, steps.img2img),
    }
    for name, (run, count) in runs.items():

        def fresh(run: Callable[..., None] = run, count: int = count) -> None:
            set_attention(model.unet, fused=True)
            run(pipeline_parts(model), image, prompt, count)

        yield Method(name, fresh, model.unet, model.vae)

"""The card of the bundled editor: purpose, training, capabilities and limits."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from editor_training.photographs import CROPS, TRAINING
from editor_training.rendering import SEED
from editor_training.unet import DROPPED, GROUNDING_WEIGHT, SNR_LIMIT, noise_schedule
from editor_training.vae import SCENES
from torchvision.transforms.v2.functional import to_pil_image
from torchvision.utils import make_grid

from augsal_transforms import SaliencyEditor
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.photometry import PROPERTIES
from augsal_transforms.scenes.scenes import Scene

SAMPLES, SAMPLE_STEPS, GUIDANCE = 32, 50, 4.0

SCENES_ALONE = """**For**: trying the package offline, tests, examples, procedural scenes. **Not for**: real
photographs, and it does not generate presentable pictures. It has seen only rendered scenes and their captions, so a
word of a photograph's caption that scenes do not use has no meaning to it; the region is then little more than the
saliency map. For photographs use `"sd-v1-5"`.
"""
WITH_PHOTOGRAPHS = """**For**: trying the package offline, tests, examples, procedural scenes, and edits of photographs
in the region that the saliency map shows. **Not for**: edits that follow a photograph's caption, for which there is
`"sd-v1-5"`, and it does not generate presentable pictures. It saw photographs without captions, so a word that the
captions of scenes do not use has no meaning to it; the region is then little more than the saliency map.
"""
PHOTOGRAPHS = (
    f"; beside them {CROPS} crops each of {TRAINING} photographs of OSIE (Xu, Jiang, Wang, Kankanhalli, Zhao, Journal "
    f'of Vision 2014; MIT licence), the first by the SHA-256 of "osie" and the name, with the empty prompt: '
    f"{1 - SCENES:.0%} of the VAE's batches and half of each batch of the U-Net"
)
PROPERTIES_OF = ", and as many crops of training photographs"


def write_card(options: Namespace, held_out: list[Scene], budget: str) -> None:
    """Write ``README.md`` and ``samples.png`` into the model's folder.

    Args:
        options: Options of the training.
        held_out: Scenes that the editor was not trained on.
        budget: Time that the training took, and on what.
    """
    folder: Path = options.out
    editor = SaliencyEditor.from_pretrained(str(folder))
    model, calibration = editor.model, editor.calibration
    draw_samples(model, [scene.caption for scene in held_out[:SAMPLES]], folder / "samples.png")
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M"
        for name, part in (("U-Net", model.unet), ("VAE", model.vae), ("text encoder", model.text_encoder))
    )
    bounds = ", ".join(f"{name} {x:.3f}" for name, x in zip(PROPERTIES, calibration.std.tolist(), strict=True))
    gamma = ", ".join(f"{g:.3f}" for g in calibration.gamma.tolist())
    data = f"{options.scenes} procedural scenes (`augsal_transforms.scenes.scenes`), series {SEED}, and their captions"
    photographs, start = options.photographs is not None, options.start is not None
    (folder / "README.md").write_text(f"""# The bundled editor

A latent diffusion pipeline of the Stable Diffusion classes, small enough to ship: 128 px images, 32×32×4 latents,
a CLIP text encoder with a vocabulary of its own. Parameters: {sizes}. Weights are float16 safetensors.

{WITH_PHOTOGRAPHS if photographs else SCENES_ALONE}
| | |
|---|---|
| data | {data}{PHOTOGRAPHS if photographs else ""} |
| VAE | {options.vae_steps} steps of 8 crops of 64 px, the latent tied to colour; \
held-out scenes {reconstruction_psnr(editor, held_out):.1f} dB |
| U-Net and text encoder | {options.unet_steps} steps of 16, min-SNR (γ = {SNR_LIMIT:g}), {DROPPED:.0%} dropped \
captions, averaged weights (EMA 0.999), attention of named words taught to lie on their objects (TokenCompose, weight \
{GROUNDING_WEIGHT:g}) |
| start | {"the weights of an earlier editor (`--start`)" if start else "random weights"} |
| precision, budget | bfloat16 with float32 weights; {budget} |
| seeds | 0 for weights and batches |
| calibration | {calibration.source} (held-out scenes{PROPERTIES_OF if photographs else ""}); γ = {gamma} |
| standard deviations | {bounds} |
| made by | `python examples/train_bundled_editor.py {command(options)}` |
| figures | `python benchmarks/bundled_editor.py`; its table is in benchmarks/README.md |

No human gaze went into it. Licence: Apache-2.0, as the package.

## What it generates

From noise, {SAMPLE_STEPS} DDIM steps, guidance {GUIDANCE:g}, captions of held-out scenes, not chosen:

![samples](samples.png)

With the default budget: blobs of the captions' colours on grainy ground, no object that one could name. The model is
for reading and editing pictures, not for making them.
""")


def command(options: Namespace) -> str:
    """The arguments that repeat a training, without folders of this machine."""
    given = ["--out augsal_transforms/assets/bundled"]
    given += [f"--{name} {value}" for name, value in (("scenes", options.scenes), ("vae-steps", options.vae_steps))]
    given += [f"--unet-steps {options.unet_steps}"]
    given += ["--photographs OSIE"] if options.photographs is not None else []
    given += ["--start EARLIER"] if options.start is not None else []
    return " ".join(given)


@torch.no_grad()
def reconstruction_psnr(editor: SaliencyEditor, held_out: list[Scene]) -> float:
    images = torch.stack([scene.image for scene in held_out]).float() / 255
    decoded = torch.cat([editor.model.decode(editor.model.encode(chunk)) for chunk in images.split(16)])
    return -10 * math.log10(F.mse_loss(decoded.clamp(0, 1), images).item())


def draw_samples(model: DiffusionModel, captions: list[str], path: Path) -> None:
    """Save pictures that the model generates from captions, in four rows of eight."""
    pipeline = StableDiffusionPipeline(
        **{"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder, "tokenizer": model.tokenizer},
        **{"scheduler": noise_schedule(), "safety_checker": None, "feature_extractor": None},
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        captions,
        num_inference_steps=SAMPLE_STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images
    to_pil_image(make_grid(pictures, nrow=8).clamp(0, 1)).quantize(256).save(path, optimize=True)

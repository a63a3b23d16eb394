"""Build the exact Stable Diffusion v1.5 configuration with random weights, edit an image, and measure memory.

    python benchmarks/sd15_on_cpu.py --folder /tmp/sd15-random

Builds the pipeline at its real sizes, saves it as a folder, loads it as a user would and edits one
512 px image on the CPU in float32. Time, memory and shapes are real; the picture means nothing.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from augsal_transforms import Brightness, SaliencyEditor
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.progress import Quiet, progress_bar


def build(folder: Path) -> None:
    """Save SD v1.5 with random weights and the bundled editor's vocabulary, because CLIP's own needs a download."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(locate_model("bundled") / "tokenizer"), model_max_length=77)
    pipeline = StableDiffusionPipeline(
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
                **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
            )
        ),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder for 4 GB of weights; removed at the end")
    parser.add_argument("--quiet", action=Quiet)
    folder = parser.parse_args().folder
    shown = progress_bar(total=4, desc="build, load, analyse, apply")
    torch.manual_seed(0)
    build(folder)
    shown.update()
    editor = SaliencyEditor.from_pretrained(str(folder))
    shown.update()
    model = editor.model
    parts = {"U-Net": model.unet, "VAE": model.vae, "text encoder": model.text_encoder}
    print(", ".join(f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for name, part in parts.items()))
    saliency_map = torch.zeros(1, 512, 512)
    saliency_map[:, 150:350, 150:350] = 1
    image = torch.rand(3, 16, 16).repeat_interleave(32, 1).repeat_interleave(32, 2)
    start = time.monotonic()
    analyses = editor.analyse([image], [saliency_map], ["a red ball on the grass"])
    analysed = time.monotonic()
    shown.update()
    (result,) = editor.apply(analyses, [Brightness(0.1)])
    done = time.monotonic()
    shown.update()
    shown.close()
    outside = (result.edit_mask == 0).expand_as(image)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # bytes
    print(f"region {tuple(result.region.shape)}, latent {tuple(analyses[0].latent.shape)}, word {result.word!r}")
    print(f"outside the mask equal to the bit: {torch.equal(result.image[outside], image[outside])}")
    print(f"{torch.get_num_threads()} threads: analyse {analysed - start:.0f} s, apply {done - analysed:.0f} s")
    print(f"peak memory {peak / 2**30:.1f} GiB, building the pipeline included")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""Train the bundled editor: a small latent diffusion model of the Stable Diffusion classes.

    python examples/train_bundled_editor.py --out augsal_transforms/assets/bundled

The script renders captioned scenes and trains a tokenizer, a VAE (reconstruction of crops), and then the text encoder
and the U-Net together (noise prediction with min-SNR weights, averaged weights, 10 % dropped captions). The positions
of the objects are known, so the cross-attention of each named word is also trained to lie on its object, as in
TokenCompose (Wang et al., CVPR 2024). Then the calibration and the photometric statistics are measured on held-out
scenes, and a card is written. Checkpoints are kept in ``--runs``: the same command resumes from them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from editor_training.card import write_card
from editor_training.rendering import SEED, render_training_scenes
from editor_training.tokenizer import train_tokenizer
from editor_training.unet import noise_schedule, train_unet
from editor_training.vae import encode_scenes, train_vae

from augsal_transforms import Calibration, SaliencyEditor, calibrate
from augsal_transforms.scenes.scenes import render_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/bundled"), help="folder of rendered scenes and checkpoints"
    )
    parser.add_argument("--scenes", type=int, default=16384)
    parser.add_argument("--vae-steps", type=int, default=14000)
    parser.add_argument("--unet-steps", type=int, default=7000)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--smoke", action="store_true", help="run a few steps of everything, in a minute")
    options = parser.parse_args()
    if options.smoke:
        options.scenes, options.vae_steps, options.unet_steps = 64, 200, 4
    options.runs.mkdir(parents=True, exist_ok=True)
    device, runs = torch.device(options.device), options.runs

    scenes = render_training_scenes(options.scenes, runs / f"scenes-{options.scenes}.pt")
    tokenizer = train_tokenizer(scenes["caption"])
    vae, vae_seconds = train_vae(scenes["image"], options.vae_steps, runs / f"vae-{options.vae_steps}.pt", device)
    latents = encode_scenes(vae, scenes["image"], runs / f"latents-{options.scenes}-{options.vae_steps}.pt", device)
    unet, text_encoder, unet_seconds = train_unet(
        latents, scenes, tokenizer, options.unet_steps, runs / f"unet-{options.unet_steps}.pt", device
    )
    pipeline = StableDiffusionPipeline(
        **{"unet": unet.half(), "vae": vae.half(), "text_encoder": text_encoder.half(), "tokenizer": tokenizer},
        **{"scheduler": noise_schedule(), "safety_checker": None, "feature_extractor": None},
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(options.out, safe_serialization=True)

    editor = SaliencyEditor.from_pretrained(str(options.out), calibration=Calibration.published())
    held_out = [render_scene(options.scenes + n, SEED) for n in range(200 if not options.smoke else 32)]
    calibration = calibrate(editor, [scene.image for scene in held_out])
    calibration.save(options.out, options.out)
    where = f"{torch.get_num_threads()} CPU threads" if device.type == "cpu" else torch.cuda.get_device_name()
    budget = f"{vae_seconds / 60:.0f} min for the VAE, {unet_seconds / 60:.0f} min for the U-Net, {where}"
    write_card(options.out, held_out, options.scenes, options.vae_steps, options.unet_steps, budget)


if __name__ == "__main__":
    main()

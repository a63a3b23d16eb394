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
from itertools import zip_longest
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from editor_training.card import write_card
from editor_training.photographs import CROPS, crop_photographs
from editor_training.rendering import HELD_OUT, SEED, render_training_scenes
from editor_training.tokenizer import train_tokenizer
from editor_training.unet import Captioned, noise_schedule, train_unet
from editor_training.vae import encode_images, train_vae
from transformers import CLIPTokenizer

from augsal_transforms import Calibration, SaliencyEditor, calibrate
from augsal_transforms.progress import Quiet
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
    parser.add_argument("--photographs", type=Path, help="data set of photographs to train on beside the scenes")
    parser.add_argument("--start", type=Path, help="folder of a pipeline to start from, instead of random weights")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    if options.smoke:
        options.scenes, options.vae_steps, options.unet_steps = 64, 200, 4
    if options.scenes > HELD_OUT:
        parser.error(f"--scenes must be at most {HELD_OUT}, got {options.scenes}")
    train(options)


def train(options: argparse.Namespace) -> None:
    options.runs.mkdir(parents=True, exist_ok=True)
    device, runs, start = torch.device(options.device), options.runs, options.start
    scenes = render_training_scenes(options.scenes, runs / f"scenes-{options.scenes}.pt")
    crops = None if options.photographs is None else crop_photographs(options.photographs, runs / "photographs.pt")
    tokenizer = (
        train_tokenizer(scenes["caption"]) if start is None else CLIPTokenizer.from_pretrained(start / "tokenizer")
    )
    steps = options.vae_steps
    vae, vae_seconds = train_vae(scenes["image"], crops, start, steps, runs / f"vae-{steps}.pt", device)
    encoded = encode_images(vae, scenes["image"], runs / f"latents-{options.scenes}-{steps}.pt", device)
    photographs = encoded[:0] if crops is None else encode_images(vae, crops, runs / f"photographs-{steps}.pt", device)
    data, steps = Captioned.join(scenes, tokenizer, encoded, photographs), options.unet_steps
    unet, text_encoder, unet_seconds = train_unet(data, tokenizer, start, steps, runs / f"unet-{steps}.pt", device)
    pipeline = StableDiffusionPipeline(
        **{"unet": unet.half(), "vae": vae.half(), "text_encoder": text_encoder.half(), "tokenizer": tokenizer},
        **{"scheduler": noise_schedule(), "safety_checker": None, "feature_extractor": None},
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(options.out, safe_serialization=True)

    held_out = [render_scene(HELD_OUT + n, SEED) for n in range(200 if not options.smoke else 32)]
    images = [scene.image for scene in held_out]
    if crops is not None:
        whole = crops[::CROPS][: len(images)]
        pairs = zip_longest(images, whole)  # in turn: the gain is measured on the first
        images = [image for pair in pairs for image in pair if image is not None]
    editor = SaliencyEditor.from_pretrained(str(options.out), calibration=Calibration.published())
    calibrate(editor, images).save(options.out, options.out)
    where = f"{torch.get_num_threads()} CPU threads" if device.type == "cpu" else torch.cuda.get_device_name()
    budget = f"{vae_seconds / 60:.0f} min for the VAE, {unet_seconds / 60:.0f} min for the U-Net, {where}"
    write_card(options, held_out, budget)


if __name__ == "__main__":
    main()

"""Measure the readouts on held-out scenes, and compare each figure with the bar that was set before.

    python benchmarks/readouts.py [--photographs DIR] [--json FILE]

The scenes are of a series that nothing was trained or tuned on. With a folder in SALICON's layout, saliency is measured
on its photographs and fixations too (``annotations/fixations_train2014.json``). The centre bias is the mean map of
other images: of scenes of another series, or of the other photographs.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from figures import Figure, report
from table2.spectral_residual import spectral_residual
from torch import Tensor

from augsal_transforms import SaliencyPredictor
from augsal_transforms.data.fixations import FixatedFolder, count_fixations
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.batching import seeded_noise
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.metrics import cc, kld, nss, sim
from augsal_transforms.photometry import PROPERTIES, photometric_properties
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.readouts.features import decoder_convolutions, decoder_features
from augsal_transforms.readouts.readouts import WEIGHTS, ReadoutConfig, Readouts
from augsal_transforms.scenes.observer import blur_fixations, fixate, observe
from augsal_transforms.scenes.scenes import Scene, render_scene
from augsal_transforms.training.samples import draw_patches, pool_area, rectangles

SERIES, OTHER_SERIES = 2025, 2026  # held out: nothing was trained or tuned on them
PATCHES, BATCH = 8, 16
R2_BARS = dict(zip(PROPERTIES, (0.90, 0.90, 0.90, 0.90, 0.75, 0.60), strict=True))
METRICS = ("CC", "KLD", "SIM", "NSS")  # as pysaliency defines them


def metrics(prediction: Tensor, saliency_map: Tensor, fixations: Tensor) -> Tensor:
    """Compute CC, KLD, SIM and NSS of one map (1, H, W) against a map and the fixations (N, 2) that it was made of."""
    values = [metric(prediction, saliency_map)[0] for metric in (cc, kld, sim)]
    size = (saliency_map.shape[-2], saliency_map.shape[-1])
    return torch.stack([*values, nss(prediction, count_fixations(fixations, size))[0]])


def read(predictor: SaliencyPredictor, images: list[Tensor], areas: Tensor) -> tuple[Tensor, Tensor]:
    """Read LLFR and HLFR in areas (B, K, H, W) of images at the model's own size."""
    model, readouts = predictor.model, predictor.readouts
    latent = model.encode(torch.stack(images).float() / 255)
    noise = seeded_noise(images, [0] * len(images), latent)
    context = model.empty_prompt.expand(len(images), -1, -1)
    taps, time_embedding = decoder_features(model, latent, noise, context, readouts.config.noise_level)
    pooled = pool_area(areas, (latent.shape[-2], latent.shape[-1]))
    properties, logits, _ = readouts(taps, time_embedding, latent, pooled, pooled)
    return properties, logits


def photometric(predictor: SaliencyPredictor, scenes: list[Scene]) -> Iterator[Figure]:
    """Measure R² of each head on random areas of interest."""
    told, true = [], []
    generator = torch.Generator().manual_seed(0)
    for n in progress_bar(range(0, len(scenes), BATCH), "batch"):
        images = [scene.image for scene in scenes[n : n + BATCH]]
        areas = rectangles(draw_patches(len(images), PATCHES, generator), (images[0].shape[-2], images[0].shape[-1]))
        told.append(read(predictor, images, areas)[0].flatten(0, 1))
        stacked = torch.stack(images).float() / 255
        measured = [photometric_properties(stacked, area[:, None]) for area in areas.unbind(1)]
        true.append(torch.stack(measured, dim=1).flatten(0, 1))
    predicted, properties = torch.cat(told).double(), torch.cat(true).double()
    rest = (predicted - properties).square().sum(0) / (properties - properties.mean(0)).square().sum(0)
    for name, r2 in zip(PROPERTIES, (1 - rest).tolist(), strict=True):
        bar = R2_BARS[name]
        yield Figure(f"R² of {name.replace('_', ' ')}, {len(properties)} areas", f"{r2:.3f}", f"{bar:.2f}", r2 >= bar)


def classes(predictor: SaliencyPredictor, scenes: list[Scene]) -> Figure:
    """Measure the accuracy on object boxes; chance and the most frequent class are shown with it."""
    names = predictor.readouts.config.classes
    hits, kinds = 0, []
    for scene in progress_bar(scenes, "scene"):
        side = scene.image.shape[-1]
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (thing.box for thing in scene.objects)]) / side
        _, logits = read(predictor, [scene.image], rectangles(boxes[None], (side, side)))
        told = [names[index] for index in logits[0].argmax(-1).tolist()]
        seen = [thing.kind for thing in scene.objects]
        hits += sum(a == b for a, b in zip(told, seen, strict=True))
        kinds += seen
    right, most = hits / len(kinds), Counter(kinds).most_common(1)[0]
    value = (
        f"{right:.1%} of {len(kinds)} boxes (chance {1 / len(names):.1%}, always {most[0]} {most[1] / len(kinds):.1%})"
    )
    return Figure("class of the object in a box", value, "80 %", right >= 0.80)


def saliency(predictor: SaliencyPredictor, scenes: list[Scene]) -> Iterator[Figure]:
    """Compare SR with the synthetic observer; the observer's consistency is that of other viewers' maps."""
    others = [render_scene(n, OTHER_SERIES) for n in range(200)]
    centre = torch.stack([observe(scene.image, scene.objects, seed=n) for n, scene in enumerate(others)]).mean(0)
    predicted = predictor.predict([scene.image for scene in scenes])
    rows: dict[str, list[Tensor]] = {"SR": [], "centre bias": [], "spectral residual": [], "other viewers": []}
    for n, (scene, ours) in enumerate(zip(progress_bar(scenes, "scene"), predicted, strict=True)):
        fixations = fixate(scene.image, scene.objects, seed=n)
        truth = blur_fixations(fixations, (ours.shape[-2], ours.shape[-1]))
        again = observe(scene.image, scene.objects, seed=n + 1_000_000)
        maps = (ours, centre, spectral_residual(scene.image), again)
        for name, field in zip(rows, maps, strict=True):
            rows[name].append(metrics(field, truth, fixations))
    means = {name: torch.stack(values).mean(0).tolist() for name, values in rows.items()}
    better = all(
        sign * means["SR"][m] > sign * means[other][m]
        for other in ("centre bias", "spectral residual")
        for m, sign in enumerate((1, -1, 1, 1))
    )
    for name, values in means.items():
        figure = Figure(f"{name} against the observer, {len(scenes)} scenes", _row(values))
        if name == "SR":
            figure.bar, figure.holds = "CC 0.80, better than both baselines", values[0] >= 0.80 and better
        yield figure


def photographs(predictor: SaliencyPredictor, folder: Path) -> Iterator[Figure]:
    """Compare SR with human fixations on photographs; there is no bar, because the model saw no photograph."""
    dataset = FixatedFolder(folder, captions={})
    images = [to_rgb_image(dataset[n]["image"]).as_subclass(Tensor) for n in range(len(dataset))]
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    maps = [to_saliency_map(dataset[n]["saliency_map"], size).as_subclass(Tensor) for n, size in enumerate(sizes)]
    predicted = predictor.predict(images)
    rows: dict[str, list[Tensor]] = {"SR": [], "centre bias": [], "spectral residual": []}
    for n, name in enumerate(progress_bar(dataset.names, "image")):
        centre = torch.stack([resize(maps[k], sizes[n]) for k in range(len(maps)) if k != n]).mean(0)
        for key, field in zip(rows, (predicted[n], centre, spectral_residual(images[n])), strict=True):
            rows[key].append(metrics(field, maps[n], dataset.fixations(name)))
    for key, values in rows.items():
        yield Figure(f"{key} on {len(images)} photographs", _row(torch.stack(values).mean(0).tolist()))


def _row(values: list[float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(METRICS, values, strict=True))


def sizes(predictor: SaliencyPredictor, folder: Path) -> Iterator[Figure]:
    """Report parameters and file size, and the parameters for the exact configuration of SD v1.5."""
    parameters = sum(p.numel() for p in predictor.readouts.parameters()) / 1e6
    megabytes = (folder / WEIGHTS).stat().st_size / 1e6
    holds = parameters < 1.5 and megabytes < 6
    yield Figure("parameters and file", f"{parameters:.2f} M, {megabytes:.2f} MB", "< 1.5 M, < 6 MB", holds)
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
        taps = tuple(tuple(conv.out_channels for conv in block) for block in decoder_convolutions(unet))
        for width in (128, 384):
            options = {"unet": "", "tap_channels": taps, "time_channels": 1280, "latent_channels": 4, "width": width}
            readouts = Readouts(ReadoutConfig(classes=tuple(map(str, range(91))), **options))
            count = sum(p.numel() for p in readouts.parameters()) / 1e6
            yield Figure(f"on SD v1.5 at C = {width}, 91 classes", f"{count:.2f} M parameters")


@torch.no_grad()
def measure(options: argparse.Namespace) -> list[Figure]:
    predictor = SaliencyPredictor.from_pretrained(options.readouts)
    scenes = [render_scene(n, SERIES) for n in progress_bar(range(options.scenes), "scene")]
    figures = [*photometric(predictor, scenes), classes(predictor, scenes), *saliency(predictor, scenes)]
    if options.photographs:
        figures += photographs(predictor, options.photographs)
    assets = Path(__file__).parent.parent / "augsal_transforms" / "assets" / "readouts"
    return [*figures, *sizes(predictor, assets if options.readouts == "bundled" else Path(options.readouts))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readouts", default="bundled")
    parser.add_argument("--photographs", type=Path, help="folder in SALICON's layout, with fixations")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    report(measure(options), options.json)


if __name__ == "__main__":
    main()

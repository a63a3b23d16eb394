"""Measure the bundled editor on held-out scenes, and compare each figure with the bar that was set before.

    python benchmarks/bundled_editor.py [--photographs DIR … [--part FIRST LAST]] [--json FILE]

The scenes are of a series that nothing was trained or tuned on. Photographs have a short side of 128 px; the VAE is
measured on their centre squares, and edits on those that have a saliency map. ``--editor`` measures another model
trained on scenes. Needs scipy (`pip install -e ".[salicon]"`).
"""

from __future__ import annotations

import argparse
import colorsys
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from figures import Figure, report
from observer_study import study
from torch import Tensor
from torchvision.transforms.v2 import functional

from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import list_images, open_layout
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.editor.edits import COLORS
from augsal_transforms.editor.region import refine_region, select_region, soft_threshold
from augsal_transforms.gaze_study.synthetic import SERIES, ObservedScene
from augsal_transforms.photometry import photometric_properties, weighted_mean
from augsal_transforms.progress import Quiet, progress_bar

CORE = 0.9  # where the edit mask is above this, the whole edit should arrive
CELLS = 16  # side of the attention maps


@dataclass(frozen=True)
class Sample:
    """An image (3, H, W), uint8, its saliency map (1, H, W), and its prompt, which photographs do not have."""

    image: Tensor
    saliency_map: Tensor
    prompt: str = ""

    @classmethod
    def of(cls, observed: ObservedScene) -> Sample:
        return cls(observed.scene.image, observed.saliency_map, observed.scene.caption)


def edit(editor: SaliencyEditor, samples: list[Sample], edits: list[Any]) -> list[Any]:
    images, maps = [s.image for s in samples], [s.saliency_map for s in samples]
    return editor.edit(images, maps, [s.prompt for s in samples], edits)


def reconstruction(editor: SaliencyEditor, images: Tensor, name: str, bar: float) -> tuple[Figure, float]:
    """Compare the VAE with the best linear code of the same size: the PCA of patches of these images."""
    decoded = torch.cat([editor.model.decode(editor.model.encode(chunk)) for chunk in images.split(8)]).clamp(0, 1)
    ours = psnr(decoded - images)
    side, channels = editor.model.downsampling, int(editor.model.vae.config.latent_channels)
    patches = F.unfold(images, side, stride=side).transpose(1, 2).flatten(0, 1).double()
    centred = patches - patches.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1][:, -channels:]
    linear = psnr(centred - centred @ axes @ axes.T)
    value = f"{ours:.2f} dB, PCA {linear:.2f} dB: {ours - linear:+.2f} dB"
    return Figure(f"VAE reconstruction, {len(images)} {name}", value, f"+{bar:g} dB", ours - linear >= bar), linear


def psnr(error: Tensor) -> float:
    return -10 * math.log10(error.square().mean().item())


@dataclass
class RegionScores:
    """Scores of the scenes whose caption names the object under the peak: whether its word was chosen, and IoU of M."""

    hits: list[bool]
    possible: list[bool]  # with the objects' own masks for C
    overlaps: list[float]
    oracles: list[float]  # of the mask that the same rule makes of the object's own mask

    @property
    def word(self) -> float:
        return sum(self.hits) / len(self.hits)

    @property
    def share(self) -> float:
        return sum(self.overlaps) / sum(self.oracles)


def score_regions(editor: SaliencyEditor, samples: list[ObservedScene]) -> RegionScores:
    known = [s for s in samples if s.peak is not None and s.peak.named]
    analyses = editor.analyse(
        [s.scene.image for s in known], [s.saliency_map for s in known], [s.scene.caption for s in known]
    )
    scores = RegionScores([], [], [], [])
    for sample, analysis in zip(known, analyses, strict=True):
        assert sample.peak is not None
        scores.hits.append(analysis.word is not None and analysis.word.text == sample.peak.kind)
        scores.possible.append(largest_overlap(sample) == sample.peak.kind)
        scores.overlaps.append(overlap(analysis.edit_mask, sample.peak.mask))
        scores.oracles.append(overlap(oracle_mask(editor, sample), sample.peak.mask))
    return scores


def regions(editor: SaliencyEditor, samples: list[ObservedScene]) -> Iterator[Figure]:
    """Measure the word of Eq. 8 and the IoU of M, and compare them with attention that is the object's own mask."""
    scores = score_regions(editor, samples)
    count = len(scores.hits)
    value = f"{scores.word:.1%} of {count} scenes; with the objects' own masks for C {sum(scores.possible) / count:.1%}"
    yield Figure("word of Eq. 8 names the object under the peak", value, "85 %", scores.word >= 0.85)
    means = sum(scores.overlaps) / count, sum(scores.oracles) / count
    value = f"{means[0]:.3f} of the oracle's {means[1]:.3f}: {scores.share:.2f}"
    yield Figure("IoU of M with that object", value, "0.70", scores.share >= 0.70)


def largest_overlap(sample: ObservedScene) -> str:
    """Find the object that Eq. 8 chooses if C is the objects' masks; its sum can prefer another one than the peak's."""
    named = [thing for thing in sample.scene.objects if thing.named]
    return max(named, key=lambda thing: (sample.saliency_map[0] * thing.mask).sum().item()).kind


def overlap(edit_mask: Tensor, mask: Tensor) -> float:
    chosen = edit_mask[0] > 0.5
    return ((chosen & mask).sum() / (chosen | mask).sum().clamp(min=1)).item()


def oracle_mask(editor: SaliencyEditor, sample: ObservedScene) -> Tensor:
    """Compute the edit mask that results from the object's own mask in place of C."""
    assert sample.peak is not None
    attention = resize(sample.peak.mask[None].float(), (CELLS, CELLS))
    region, _ = select_region(attention[None], F.adaptive_avg_pool2d(sample.saliency_map, CELLS)[None])
    refined = refine_region(region[0], sample.scene.image.float() / 255)
    return soft_threshold(refined, editor.config.threshold, editor.config.softness)


def directions(editor: SaliencyEditor, samples: list[Sample]) -> Iterator[Figure]:
    """Measure what the edits change in the core of the mask, with the two-sigma rule off."""
    free = replace(editor, config=replace(editor.config, max_std=math.inf))
    names = list(COLORS)
    edits = [[Brightness(0.15), Contrast(1.5), Color(names[n % len(names)], 0.6)] for n in range(len(samples))]
    results = edit(free, samples, edits)
    rises, ratios, moves, nearer = [], [], [], []
    for n, sample in enumerate(samples):
        brighter, stronger, recolored = results[3 * n : 3 * n + 3]
        core = (brighter.edit_mask > CORE).float()[None]
        if core.sum() < 16:
            continue
        image, bright, strong, color = (
            x[None].float() / 255 for x in (sample.image, brighter.image, stronger.image, recolored.image)
        )
        rises.append(weighted_mean(bright - image, core)[0])
        before, after = (photometric_properties(x, core)[0] for x in (image, strong))
        ratios.append(after[4] / before[4])
        moves.append((after[:3] - before[:3]).abs())
        hues = [hue_distance(weighted_mean(x, core)[0], recolored.color) for x in (image, color)]
        nearer.append(hues[1] < hues[0])
    rise, move = torch.stack(rises).mean(0), torch.stack(moves)
    red, green, blue = rise.tolist()
    holds = all(0.12 <= x <= 0.18 for x in (red, green, blue))
    yield Figure("brightness 0.15: R, G, B rise by", f"{red:.3f} {green:.3f} {blue:.3f}", "0.12–0.18", holds)
    ratio = torch.stack(ratios)
    yield Figure(
        "contrast 1.5: local contrast",
        f"× {ratio.mean():.2f} (median {ratio.median():.2f})",
        "× 1.25",
        ratio.mean().item() >= 1.25,
    )
    largest = (255 * move).mean(0)
    small = (255 * move).amax(1) < 2
    value = f"{', '.join(f'{x:.2f}' for x in largest.tolist())} levels; below 2 in {small.float().mean():.0%} of edits"
    yield Figure("contrast 1.5: mean R, G, B move by", value, "< 2/255", bool((largest < 2).all()))
    share = sum(nearer) / len(nearer)
    yield Figure("colour 0.6: hue nearer to the target", f"{share:.1%} of {len(nearer)} edits", "95 %", share >= 0.95)


def hue_distance(rgb: Tensor, color: str) -> float:
    """Compute the distance to a named colour on the hue circle, in turns."""
    hues = [colorsys.rgb_to_hsv(*x)[0] for x in (rgb.clamp(0, 1).tolist(), COLORS[color])]
    distance = abs(hues[0] - hues[1])
    return min(distance, 1 - distance)


def speed(editor: SaliencyEditor, samples: list[Sample]) -> Iterator[Figure]:
    """Measure one edit per image, analysis included: the median of five runs."""
    for batch, bar in ((1, 0.30), (8, 0.20)):
        edits: list[Any] = [Contrast(1.5), Brightness(0.15), Color("red", 0.5)]
        jobs = samples[:batch], [edits[n % 3] for n in range(batch)]
        edit(editor, *jobs)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            edit(editor, *jobs)
            times.append((time.perf_counter() - start) / batch)
        value = sorted(times)[2]
        name = f"one edit, batch {batch}, {torch.get_num_threads()} threads"
        yield Figure(name, f"{value:.3f} s an image", f"{bar:.2f} s", value <= bar)


def read_photographs(folders: list[Path], part: slice) -> tuple[Tensor, list[Sample]]:
    """Read photographs at a short side of 128 px.

    Args:
        folders: Data sets that ``open_layout`` reads, or folders of photographs without maps.
        part: The photographs of each data set to take, in the order of the SHA-256 of "osie" and the name.

    Returns:
        The centre squares, (N, 3, 128, 128) in [0, 1], and the photographs that have a saliency map.
    """
    squares, samples = [], []
    for folder in folders:
        try:
            dataset: Any = open_layout(folder)
            pairs = [(dataset.images[name], dataset.maps[name]) for name in sorted(dataset.names, key=_order)[part]]
        except FileNotFoundError:
            pairs = [(path, None) for path in list_images(folder)]
        for image_path, map_path in pairs:
            image = to_rgb_image(read_image(image_path)).as_subclass(Tensor)
            size = tuple(image.shape[-2:])
            small = functional.resize(image, [128], antialias=True)
            squares.append(functional.center_crop(small, [128, 128]).float() / 255)
            if map_path is not None:
                saliency_map = to_saliency_map(read_image(map_path), size).as_subclass(Tensor)
                samples.append(Sample(small, resize(saliency_map, tuple(small.shape[-2:]))))
    return torch.stack(squares), samples


def _order(name: str) -> str:
    return hashlib.sha256(f"osie{name}".encode()).hexdigest()


@torch.no_grad()
def measure(options: argparse.Namespace) -> list[Figure]:
    editor = SaliencyEditor.from_pretrained(options.editor)
    samples = [ObservedScene.render(index, SERIES) for index in progress_bar(range(options.scenes), "scene")]
    images = torch.stack([sample.scene.image for sample in samples]).float() / 255
    figure, scenes_linear = reconstruction(editor, images[:200], "scenes", 2)
    figures = [figure]
    if options.photographs:
        squares, looked_at = read_photographs(options.photographs, slice(*options.part))
        figure, photographs_linear = reconstruction(editor, squares, "photographs", 1)
        gap = scenes_linear - photographs_linear
        figures += [
            figure,
            Figure("PCA-4 of scenes against photographs", f"{gap:+.2f} dB", "within 3 dB", abs(gap) <= 3),
        ]
        for figure in directions(editor, looked_at) if looked_at else ():
            figures.append(replace(figure, name=f"{len(looked_at)} photographs, {figure.name}"))
    plain = [Sample.of(sample) for sample in samples]
    parts: list[Callable[[], Iterable[Figure]]] = [
        lambda: regions(editor, samples),
        lambda: directions(editor, plain[:150]),
        lambda: (Figure(*row) for row in study(editor, samples)),
        lambda: speed(editor, plain),
    ]
    for part in progress_bar(parts, "part"):
        figures += part()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", default="bundled")
    parser.add_argument("--photographs", type=Path, nargs="*", help="folders of photographs, searched below")
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, None), help="first photograph and the one after the last, by hash"
    )
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    report(measure(options), options.json)


if __name__ == "__main__":
    main()

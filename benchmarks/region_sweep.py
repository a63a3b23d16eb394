"""Which noise level, capture level, average over heads, threshold and softness find objects best.

    python benchmarks/region_sweep.py

The objects of rendered scenes are known. Measured are the share of scenes in which Eq. 8 chooses the word of the object
under the saliency peak, if the caption names it, and the IoU of M with that object. The scenes are of a tuning series:
nothing was trained on it, and no other figure is reported on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from bundled_editor import overlap
from torch import Tensor

from augsal_transforms import SaliencyEditor
from augsal_transforms.diffusion.attention import cross_attention_layers
from augsal_transforms.editor.region import refine_region, select_region, soft_threshold
from augsal_transforms.gaze_study.synthetic import ObservedScene
from augsal_transforms.progress import Quiet, progress_bar

SERIES = 31
NOISE_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4)
SIZES = (8, 16)
HEADS = ("mean", "max")
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5)
SOFTNESSES = (0.05, 0.1, 0.2, 0.3, 0.4)


@contextmanager
def per_head_attention(unet: Any) -> Iterator[dict[int, list[Tensor]]]:
    """Record C of every layer while the U-Net runs, (B, heads, h·w, tokens), by depth."""
    seen: dict[int, list[Tensor]] = {}

    def record(attn: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        hidden = arguments[0] if arguments else options["hidden_states"]
        query, key = attn.to_q(hidden), attn.to_k(options["encoder_hidden_states"])
        query, key = (attn.head_to_batch_dim(x, out_dim=4) for x in (query, key))
        seen[levels[attn]].append((query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1))

    levels = cross_attention_layers(unet)
    seen.update({level: [] for level in levels.values()})
    handles = [layer.register_forward_pre_hook(record, with_kwargs=True) for layer in levels]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def attend(editor: SaliencyEditor, samples: list[ObservedScene]) -> dict[tuple[int, str], list[Tensor]]:
    """Compute C of each sample, (tokens, size, size), by size and by average over heads."""
    maps: dict[tuple[int, str], list[Tensor]] = {(size, heads): [] for size in SIZES for heads in HEADS}
    for start in range(0, len(samples), 8):
        chunk = samples[start : start + 8]
        with per_head_attention(editor.model.unet) as seen:
            editor.analyse(*inputs(chunk))
        for layers in seen.values():
            size = int(layers[0].shape[2] ** 0.5)
            for heads in HEADS:
                pooled = [layer.mean(1) if heads == "mean" else layer.amax(1) for layer in layers]
                mean = torch.stack(pooled).mean(0).transpose(1, 2)
                maps[size, heads] += list(mean.unflatten(2, (size, size)))
    return maps


def inputs(samples: list[ObservedScene]) -> tuple[list[Tensor], list[Tensor], list[str]]:
    return [s.scene.image for s in samples], [s.saliency_map for s in samples], [s.scene.caption for s in samples]


def choose(editor: SaliencyEditor, sample: ObservedScene, cross_attention: Tensor) -> tuple[str, Tensor]:
    """Select the word of Eq. 8 and its refined region (1, H, W)."""
    words = editor.model.locate_words(sample.scene.caption)
    per_word = torch.stack([cross_attention[list(word.tokens)].mean(0) for word in words])
    saliency = F.adaptive_avg_pool2d(sample.saliency_map, cross_attention.shape[-1])
    region, index = select_region(per_word[None], saliency[None])
    return words[int(index)].text, refine_region(region[0], sample.scene.image.float() / 255)


def soft_overlap(edit_mask: Tensor, mask: Tensor) -> float:
    """Compute Σ min / Σ max, the IoU of masks with values in [0, 1]."""
    truth = mask[None].float()
    return (torch.minimum(edit_mask, truth).sum() / torch.maximum(edit_mask, truth).sum().clamp(min=1e-6)).item()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editor", default="bundled")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    editor = SaliencyEditor.from_pretrained(options.editor)
    rendered = [ObservedScene.render(index, SERIES) for index in progress_bar(range(options.scenes), "scene")]
    samples = [s for s in rendered if s.peak is not None and s.peak.named]
    truths = [s.peak for s in samples if s.peak is not None]
    print(f"{len(samples)} of {options.scenes} scenes name the object under the peak.\n")

    print(
        "| noise level | maps | heads | word | IoU at 1/3 | best threshold | IoU there |\n|---|---|---|---|---|---|---|"
    )
    refined_by_default: list[Tensor] = []
    for noise_level in progress_bar(NOISE_LEVELS, "noise level"):
        tuned = replace(editor, config=replace(editor.config, noise_level=noise_level))
        for (size, heads), maps in attend(tuned, samples).items():
            chosen = [choose(tuned, sample, c) for sample, c in zip(samples, maps, strict=True)]
            right = mean([float(word == truth.kind) for (word, _), truth in zip(chosen, truths, strict=True)])
            by_threshold = {
                t: mean([overlap((r > t).float(), truth.mask) for (_, r), truth in zip(chosen, truths, strict=True)])
                for t in THRESHOLDS
            }
            best = max(by_threshold, key=lambda t: by_threshold[t])
            row = f"{right:.1%} | {by_threshold[1 / 3]:.3f} | {best:.2f} | {by_threshold[best]:.3f}"
            print(f"| {noise_level:g} | {size}×{size} | {heads} | {row} |", flush=True)
            if (noise_level, size, heads) == (editor.config.noise_level, editor.config.attention_size, "mean"):
                refined_by_default = [refined for _, refined in chosen]

    print("\nΣ min / Σ max of the ramp and the object, with the defaults' maps:\n")
    print(f"| threshold | {' | '.join(f'softness {s:g}' for s in SOFTNESSES)} |\n|---|{'---|' * len(SOFTNESSES)}")
    for threshold in THRESHOLDS:
        cells = [
            mean(
                [
                    soft_overlap(soft_threshold(refined, threshold, softness), truth.mask)
                    for refined, truth in zip(refined_by_default, truths, strict=True)
                ]
            )
            for softness in SOFTNESSES
        ]
        print(f"| {threshold:.2f} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")


if __name__ == "__main__":
    main()

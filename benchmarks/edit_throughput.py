"""Measure how fast images are edited, and how fast other methods edit them with the same networks.

    python benchmarks/edit_throughput.py --small                                  # the bundled editor, on the CPU
    python benchmarks/edit_throughput.py --small --released-only                  # the released procedure alone
    python benchmarks/edit_throughput.py --folder DIR --device cuda --json FILE   # any pipeline

If the folder does not exist, the exact SD v1.5 configuration is saved there with random weights (4 GB).

All methods edit the same images in one process. Each is run once to count forward passes (samples through each network)
and operations; then they are timed in turns. With random weights speed and memory are real, but the pictures mean
nothing. On a CPU, seconds are processor time: set OMP_NUM_THREADS=1. Warm means that the analyses of the images are at
hand.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from counting import Cost, Method, alternate, ceiling, measure_cost
from figures import Figure, report
from peers import FULL_STEPS, Steps, diffusers_methods, null_text, released_procedure, set_attention
from sd15_on_cpu import build
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene

EDITS = [Contrast(1.5), Brightness(0.15), Color("red", 0.5), Color("blue", 0.5)]
BEST = "released, k = 1, at its best"
BARS = {BEST: (6, 10)}  # for ours at J = 1 and J = 4
BARS_ON_A_GPU = {  # for ours at J = 1
    "LEDITS++": 10,
    "DiffEdit": 20,
    "pix2pix-zero": 40,
    "null-text + prompt-to-prompt": 100,
}
OURS, RELEASED = "ours, J = {}, {}", "released, k = {}, {}"
CLASSICAL = "torchvision ColorJitter"


@dataclass
class Inputs:
    """Scenes at the model's size: images (3, H, W) uint8, saliency maps, captions."""

    images: list[torch.Tensor]
    saliency_maps: list[torch.Tensor]
    captions: list[str]

    @classmethod
    def render(cls, count: int, size: int) -> Inputs:
        scenes = [render_scene(n, seed=700, size=size) for n in range(count)]
        maps = [observe(scene.image, scene.objects, seed=n) for n, scene in enumerate(scenes)]
        return cls([scene.image for scene in scenes], maps, [scene.caption for scene in scenes])


def our_methods(editor: SaliencyEditor, inputs: Inputs) -> Iterator[Method]:
    """Yield our methods: J edits of each image, with the analysis (cold) and with stored analyses (warm)."""
    given = (inputs.images, inputs.saliency_maps, inputs.captions)
    networks = {"unet": editor.model.unet, "vae": editor.model.vae}
    analyses = editor.analyse(*given)
    for count in (1, 4):
        wanted = [[EDITS[(n + k) % 4] for k in range(count)] for n in range(len(inputs.images))]
        edits = count * len(wanted)
        yield Method(OURS.format(count, "cold"), partial(editor.edit, *given, wanted), **networks, edits=edits)
        yield Method(OURS.format(count, "warm"), partial(editor.apply, analyses, wanted), **networks, edits=edits)


def released_methods(editor: SaliencyEditor, inputs: Inputs, name: str, *, fused: bool) -> Iterator[Method]:
    """The released procedure, batch 1."""
    model, prompt = editor.model, inputs.captions[0]
    image = inputs.images[0][None].to(model.device) / 255

    def run(attempts: int) -> None:
        set_attention(model.unet, fused=fused)
        released_procedure(model, image, prompt, attempts)

    for attempts in (1, 4):
        yield Method(RELEASED.format(attempts, name), partial(run, attempts), model.unet, model.vae)


def null_text_method(editor: SaliencyEditor, inputs: Inputs, steps: int) -> Method:
    model = editor.model
    with torch.no_grad():
        latent = model.encode(inputs.images[0][None].to(model.device) / 255)

    def run() -> None:
        set_attention(model.unet, fused=True)
        null_text(model, latent, inputs.captions[0], steps)

    return Method("null-text + prompt-to-prompt", run, model.unet, model.vae, share=steps / FULL_STEPS)


def precision(options: argparse.Namespace) -> torch.dtype:
    """The precision asked for, or else float16 on a GPU and float32 on a CPU."""
    usual = "float16" if torch.device(options.device).type == "cuda" else "float32"
    dtype: torch.dtype = getattr(torch, options.dtype or usual)
    return dtype


def all_methods(options: argparse.Namespace) -> list[Method]:
    """Collect all methods in the precision asked for; "as released" is in float32."""
    load = partial(SaliencyEditor.from_pretrained, str(options.folder or "bundled"), device=options.device)
    editor = load(dtype=precision(options))
    steps = Steps.smoke() if options.smoke else Steps()
    inputs = Inputs.render(options.batch, editor.model.resolution)
    methods = [
        *our_methods(editor, inputs),
        *released_methods(load(), inputs, "as released", fused=False),
        *released_methods(editor, inputs, "at its best", fused=True),
    ]
    if options.released_only:
        return methods
    methods += [
        *diffusers_methods(
            load(dtype=editor.model.unet.dtype).model, to_pil_image(inputs.images[0]), inputs.captions[0], steps
        ),
        null_text_method(editor, inputs, steps.null_text),
    ]
    jitter = v2.ColorJitter(0.3, 0.3, 0.3, 0.1)
    images = torch.stack(inputs.images).to(options.device)
    return [*methods, Method(CLASSICAL, partial(jitter, images), editor.model.unet, editor.model.vae, len(images))]


def measure(methods: list[Method], rounds: int, peaks: dict[torch.dtype, float]) -> tuple[list[Cost], dict[str, str]]:
    """Measure the cost of each method; for one that fails, return the reason."""
    costs, skipped = {}, {}
    for method in progress_bar(methods, "method", "counting"):
        try:
            costs[method.name] = measure_cost(method)
        except Exception as error:  # another release of diffusers, another tokenizer: the table says which
            skipped[method.name] = f"{type(error).__name__}: {error}".splitlines()[0]
    able = [method for method in methods if method.name in costs]
    times = alternate({m.name: m.run for m in able}, rounds, cuda=able[0].unet.device.type == "cuda")
    for method in able:
        cost = costs[method.name]
        cost.seconds = times[method.name] / (method.edits * method.share)
        cost.share_of_ceiling = cost.operations / cost.seconds / peaks[method.unet.dtype]
    return list(costs.values()), skipped


def ratios(costs: list[Cost], *, cuda: bool) -> list[Figure]:
    """Compute how many times faster ours is than each other method, with the bars for J = 1 and J = 4."""
    seconds = {cost.name: cost.seconds for cost in costs}
    first, fourth = (seconds[OURS.format(count, "cold")] for count in (1, 4))
    figures = []
    for name, value in seconds.items():
        if name.startswith("ours") or name == CLASSICAL:
            continue
        asked = BARS.get(name, (BARS_ON_A_GPU.get(name) if cuda else None, None))
        for count, ours, bar in ((1, first, asked[0]), (4, fourth, asked[1])):
            ratio = value / ours
            figures.append(
                Figure(
                    f"J = {count} against {name}",
                    f"{ratio:.1f} ×",
                    f"{bar} ×" if bar else "",
                    ratio >= bar if bar else None,
                )
            )
    return figures


def limits(costs: list[Cost]) -> list[Figure]:
    """Compare ours on a GPU with the further bars: share of the ceiling, and memory."""
    ours = {cost.name: cost for cost in costs}
    share, memory = ours[OURS.format(4, "cold")].share_of_ceiling, ours[OURS.format(1, "cold")].gigabytes
    return [
        Figure("J = 4, share of the ceiling over a whole edit", f"{share:.0%}", "35 %", share >= 0.35),
        Figure("peak memory, J = 1, U-Net and VAE included", f"{memory:.1f} GB", "≤ 12 GB", memory <= 12),
    ]


def print_table(costs: list[Cost], skipped: dict[str, str]) -> None:
    print("| method | images a second | U-Net | encodes | decodes | TFLOP | TFLOP/s | of the ceiling | peak memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cost in costs:
        memory = "" if math.isnan(cost.gigabytes) else f"{cost.gigabytes:.1f} GB"
        print(
            f"| {cost.name} | {1 / cost.seconds:.3g} | {cost.unet:g} | {cost.encodes:g} | {cost.decodes:g} | "
            f"{cost.operations / 1e12:.3g} | {cost.operations / cost.seconds / 1e12:.3g} | "
            f"{cost.share_of_ceiling:.0%} | {memory} |"
        )
    for name, reason in skipped.items():
        print(f"| {name} | skipped: {reason} | | | | | | | |")
    print()


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--folder", type=Path, help="folder of a pipeline")
    which.add_argument("--small", action="store_true", help="the bundled editor")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="float32 on a CPU unless given")
    parser.add_argument("--released-only", action="store_true", help="leave out all methods but the released procedure")
    parser.add_argument("--batch", type=int, default=8, help="batch size of ours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="fewer steps of the diffusers pipelines than documented")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    diffusers.utils.logging.set_verbosity_error()
    if options.folder and not options.folder.exists():
        torch.manual_seed(0)
        build(options.folder)
    device = torch.device(options.device)
    peaks = {dtype: ceiling(device, dtype) for dtype in dict.fromkeys((torch.float32, precision(options)))}
    costs, skipped = measure(all_methods(options), options.rounds, peaks)
    print_table(costs, skipped)
    for dtype, peak in peaks.items():
        print(f"The ceiling in {dtype}: {peak / 1e12:.3g} TFLOP/s.")
    cuda = device.type == "cuda"
    figures = ratios(costs, cuda=cuda) + (limits(costs) if cuda else [])
    report(figures, None)
    result = {"costs": [asdict(c) for c in costs], "skipped": skipped, "figures": [asdict(f) for f in figures]}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()

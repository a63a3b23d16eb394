"""Measure on a GPU what no other benchmark measures, step by step; ``benchmarks/on_gpu.sh`` runs all steps.

    python benchmarks/gpu_steps.py STEP --editor DIR --device cuda [--json FILE]
    python benchmarks/gpu_steps.py STEP --small                      # a rehearsal on the CPU, with the bundled editor

The steps:
    precision: The same edits in float32, float16 and bfloat16, and 200 edits in search of values that are not finite.
    compiled: Share of the measured ceiling of whole edits, four of each image, eager and compiled.
    memory: The largest batch in 16, 24 and 80 GB, and an edit of twice as many images, which halves the batch.
    training: The share of a training step in which ``augment.batch`` makes edits.
    adapters: The adapters' hook under autocast and a GradScaler: p = 0 to the bit, and gradients as on the CPU.
    generate: ``Generation`` on 1,000 images of 480×640, and the share of time in which the GPU is busy.

If the folder does not exist, the exact SD v1.5 configuration is saved there with random weights (4 GB). With random
weights, speed and memory are real. Numerical range is not: the activations of trained weights are larger, and float16
overflows in the VAE of some models. So "no value that is not finite" has to be shown again with real weights.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from ceilings import device_name
from counting import Method, alternate, ceiling, measure_cost, seconds
from edit_throughput import EDITS, Inputs
from figures import Figure, report
from loader import write_data
from sd15_on_cpu import build
from table2.compact_models import CompactUnisal
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from augsal_transforms import (
    AugmentedSaliencyLoss,
    Brightness,
    EditStore,
    SaliencyDiffusionAugment,
    SaliencyEditor,
    SaliencyLoss,
)
from augsal_transforms.adapters._hook import EditingHook, gradient_scale_seen
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate.generation import Generation
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.tv_tensors import SaliencyMap

GIGABYTES = (16, 24, 80)
Load = Callable[..., SaliencyEditor]


def varied(inputs: Inputs, count: int) -> Inputs:
    """More images from rendered ones: each is shifted, round its edges, by another number of pixels."""
    places = [(n % len(inputs.images), 8 * (n // len(inputs.images))) for n in range(count)]
    return Inputs(
        *([torch.roll(pictures[n], by, -1) for n, by in places] for pictures in (inputs.images, inputs.saliency_maps)),
        [inputs.captions[n] for n, _ in places],
    )


def given(inputs: Inputs) -> tuple[list[torch.Tensor], list[torch.Tensor], list[str]]:
    return inputs.images, inputs.saliency_maps, inputs.captions


def precision(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Compare half precisions with float32, and edit many images in each."""
    inputs = Inputs.render(2 if options.small else 16, load().model.resolution)
    wanted = [EDITS[n % 4] for n in range(len(inputs.images))]
    exact = load(dtype=torch.float32).edit(*given(inputs), wanted)
    many = varied(inputs, 4 if options.small else 200)
    for dtype in (torch.float16, torch.bfloat16):
        editor, name = load(dtype=dtype), str(dtype).removeprefix("torch.")
        results = editor.edit(*given(inputs), wanted)
        same = [(a, b) for a, b in zip(results, exact, strict=True) if a.word == b.word]
        levels = [(a.image.float() - b.image.float()).abs().mean().item() for a, b in same]
        mean = sum(levels) / max(len(levels), 1)
        holds = bool(same) and mean <= 2
        yield Figure(
            f"{name} against float32", f"{mean:.3f} grey levels, largest {max(levels, default=0):.3f}", "≤ 2", holds
        )
        yield Figure(f"{name}: the same word", f"{len(same)} of {len(results)} images")
        made = editor.edit(*given(many), [EDITS[n % 4] for n in range(len(many.images))])
        finite = [all(v == v and abs(v) < 1e9 for v in (r.strength, *r.properties_after.values())) for r in made]
        yield Figure(f"{name}: finite", f"{sum(finite)} of {len(made)} images", "all", all(finite))


def compiled(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Time whole edits, four of each image, eager and compiled, against the ceiling."""
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    peak = ceiling(device, dtype)
    inputs = Inputs.render(options.batch, load().model.resolution)
    wanted = [[EDITS[(n + k) % 4] for k in range(4)] for n in range(options.batch)]
    runs = {}
    for name in ("eager", "compiled"):
        editor = load(dtype=dtype, compile=name == "compiled")
        editor = replace(editor, config=replace(editor.config, batch_size=options.batch))
        runs[name] = partial(editor.edit, *given(inputs), wanted)
        if name == "eager":
            edits = 4 * options.batch
            operations = measure_cost(Method(name, runs[name], editor.model.unet, editor.model.vae, edits)).operations
        spent = seconds(runs[name], cuda=cuda)  # what is prepared at first, compilation included
        yield Figure(f"the first run, {name}", f"{spent:.0f} s")
    for (name, median), bar in zip(alternate(runs, options.rounds, cuda=cuda).items(), (0.35, 0.5), strict=True):
        each = median / (4 * options.batch)
        share = operations / each / peak
        asked = (f"≥ {bar:.0%}", share >= bar) if cuda else ()
        yield Figure(f"share of the ceiling, {name}", f"{share:.0%}, {1 / each:.3g} images a second", *asked)


def largest_batch(editor: SaliencyEditor, inputs: Inputs, sizes: list[int]) -> tuple[int, int]:
    """The largest of ``sizes`` at which memory holds a batch, and the size to which the next one was halved, or 0."""
    largest = 0
    for size in progress_bar(sizes, "batch size"):
        sized = replace(editor, config=replace(editor.config, batch_size=size))
        some = varied(inputs, size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Memory does not hold")
            sized.edit(*given(some), [Brightness(0.1)] * size)
        if sized.batches.size < size:
            return largest, sized.batches.size
        largest = size
    return largest, 0


def memory(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Find the largest batch within limits of memory; a CPU has no limits to set."""
    editor = load()
    inputs = Inputs.render(2 if options.small else 4, editor.model.resolution)
    if torch.device(options.device).type != "cuda":
        largest, halved = largest_batch(editor, inputs, [1, 2])
        yield Figure("largest batch tried on the CPU", f"{largest}, halved to {halved}")
        return
    total = torch.cuda.get_device_properties(options.device).total_memory
    for limit in (*GIGABYTES, total / 1e9):
        if limit * 1e9 <= total:
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit * 1e9 / total), options.device)
            largest, halved = largest_batch(editor, inputs, [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128])
            then = f"; the next one was halved to {halved}, and all images edited" if halved else ""
            yield Figure(f"largest batch in {limit:.0f} GB", f"{largest}{then}")


def training(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Time steps of training with edits made in the loop, and without."""
    device, count = torch.device(options.device), 2 if options.small else 32
    inputs = varied(Inputs.render(min(count, 8), 64 if options.small else 480), count)
    batch: dict[str, Any] = {
        "image": tv_tensors.Image(torch.stack(inputs.images).to(device)),
        "saliency_map": SaliencyMap(torch.stack(inputs.saliency_maps).to(device)),
        "prompt": inputs.captions,
    }
    augment = SaliencyDiffusionAugment(editor=load(), p=0.5, seed=0)
    size = (32, 64) if options.small else (288, 384)  # UNISAL's own
    later = v2.Compose([v2.Resize(size), v2.ToDtype(torch.float32, scale=True)])
    model, criterion = CompactUnisal().to(device), AugmentedSaliencyLoss(SaliencyLoss())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def step(*, edits: bool) -> None:
        sample = later(augment.batch(batch) if edits else {**batch, "edited_image": batch["image"]})
        mask = sample.get("edit_mask", torch.zeros_like(sample["saliency_map"]))
        flags = sample.get("is_edited", torch.zeros(count, dtype=torch.bool, device=device))
        pairs = model(sample["image"]), sample["saliency_map"], model(sample["edited_image"])
        loss = criterion(*pairs, mask, flags.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    runs = {"two passes, no edits": partial(step, edits=False), "edits in the loop": partial(step, edits=True)}
    for run in runs.values():
        run()
    times = alternate(runs, options.rounds, cuda=device.type == "cuda")
    yield from (Figure(f"a step of {count}, {name}", f"{1000 * spent:.0f} ms") for name, spent in times.items())
    plain, edited = times.values()
    yield Figure("share of the step that is spent on edits", f"{1 - plain / edited:.0%}")


def adapters(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Train a compact network with the adapters' hook under autocast and a GradScaler, with and without edits."""
    device = torch.device(options.device)
    packed = torch.rand(2, 7, 32, 64, generator=torch.Generator().manual_seed(0))
    plain = packed.clone()
    plain[:, 3:] = 0

    def trained(images: torch.Tensor, *, hooked: bool, amp: bool, place: torch.device) -> tuple[list[Any], list[Any]]:
        """The gradients of the first step and the weights after two."""
        torch.manual_seed(0)
        model = CompactUnisal().to(place).train(amp and not images[:, 3:].any())
        hook, scaler = EditingHook(), torch.amp.GradScaler(place.type, enabled=amp, init_scale=1024.0)
        if hooked:
            hook.attach(model)
        optimizer, gradients = torch.optim.SGD(model.parameters(), lr=1e-3), list[Any]()
        half = torch.autocast(place.type, torch.float16 if place.type == "cuda" else torch.bfloat16)
        with gradient_scale_seen(hook) if hooked else nullcontext():
            for _ in range(2):
                with half if amp else nullcontext():
                    loss = model(images.to(place) if hooked else images[:, :3].to(place)).float().square().mean()
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                gradients = gradients or [p.grad.cpu().clone() for p in model.parameters() if p.grad is not None]
                scaler.step(optimizer)
                scaler.update()
        return gradients, [value.cpu() for value in model.state_dict().values()]

    with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        ends = [trained(plain, hooked=hooked, amp=True, place=device)[1] for hooked in (True, False)]
        same = all(map(torch.equal, *ends))
        yield Figure("p = 0 under autocast and a GradScaler", "equal to the bit" if same else "differs", "equal", same)
        cpu = trained(packed, hooked=True, amp=False, place=torch.device("cpu"))[0]
        for amp, bar in ((False, 0.01), (True, 0.1)):
            found = trained(packed, hooked=True, amp=amp, place=device)[0]
            error = (torch.cat([(a - b).flatten() for a, b in zip(found, cpu, strict=True)])).norm()
            error = (error / torch.cat([b.flatten() for b in cpu]).norm()).item()
            name = "gradients with edits against the CPU in float32" + (", autocast and a GradScaler" if amp else "")
            yield Figure(name, f"{error:.2g} of their norm", f"≤ {bar}", error <= bar)


@contextmanager
def busy_share() -> Iterator[list[float]]:
    """Percent of time in which kernels run, as ``nvidia-smi`` samples it every 200 ms; empty without it."""
    shares: list[float] = []
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        yield shares
        return

    def read() -> None:
        shares.extend(float(line) for line in process.stdout or () if line.strip().isdigit())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield shares
    finally:
        process.terminate()
        process.wait()
        reader.join()


class Timed(Generation):
    """A generation that measures the seconds that it spends in the editor."""

    inside = 0.0

    def make(self, jobs: Any) -> Any:
        started = time.perf_counter()
        made = super().make(jobs)
        self.inside += time.perf_counter() - started
        return made


def photographs_sized(folder: Path, count: int) -> SaliencyFolder:
    """Scenes as JPEG files of 480×640; most are others, shifted."""
    files = write_data(folder, min(count, 40))
    for n in range(len(files), count):
        name = files.names[n % 40]
        for kind, path in (("images", files.images[name]), ("maps", files.maps[name])):
            with PIL.Image.open(str(path)) as picture:
                shifted = to_pil_image(torch.roll(pil_to_tensor(picture), 16 * (n // 40), -1))
            shifted.save(folder / kind / "train" / f"{n:04d}{path.suffix}", quality=90)
    return SaliencyFolder(folder)


def generate(load: Load, options: argparse.Namespace) -> Iterator[Figure]:
    """Fill a store, and measure how busy the GPU is."""
    cuda = torch.device(options.device).type == "cuda"
    editor = load()
    editor = replace(editor, config=replace(editor.config, batch_size=32 if cuda else 8))
    with tempfile.TemporaryDirectory() as place:
        files = photographs_sized(Path(place) / "data", options.images)
        warm = files.names[: editor.config.batch_size]
        Generation(editor, EditStore(Path(place) / "first"), files).run(warm)
        generation = Timed(editor, EditStore(Path(place) / "store"), files)
        started = time.perf_counter()
        with busy_share() as shares, progress_bar(total=len(files), unit="image") as shown:
            generation.run(files.names, shown.update)
        spent = time.perf_counter() - started
    counts = generation.counts
    yield Figure(
        f"edits of {len(files)} images", f"{counts['made']} in {spent:.1f} s, {counts['made'] / spent:.3g} a second"
    )
    yield Figure("share of the time in the editor; the rest waits for files", f"{generation.inside / spent:.0%}")
    if shares:
        busy = sum(shares) / len(shares)
        yield Figure("the GPU is busy", f"{busy:.0f} %", "≥ 90 %", busy >= 90)


STEPS = {step.__name__: step for step in (precision, compiled, memory, training, adapters, generate)}


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--editor", type=Path, help="folder of a pipeline")
    which.add_argument("--small", action="store_true", help="the bundled editor, and few images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8, help="images of a batch in the step `compiled`")
    parser.add_argument("--images", type=int, default=1000, help="images in the step `generate`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.editor and not options.editor.exists():
        torch.manual_seed(0)
        build(options.editor)
    cuda = torch.device(options.device).type == "cuda"
    defaults = {"device": options.device, "dtype": torch.float16 if cuda else torch.float32}

    def load(**changes: Any) -> SaliencyEditor:
        return SaliencyEditor.from_pretrained(str(options.editor or "bundled"), **{**defaults, **changes})

    steps = progress_bar(STEPS[options.step](load, options), "figure", options.step)
    found = [Figure("device", device_name(torch.device(options.device))), *steps]
    report(found, options.json)
    return found


if __name__ == "__main__":
    main()

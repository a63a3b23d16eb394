"""Predict and measure the gain of each step that makes edits faster.

    python benchmarks/speed_steps.py [--compile] [--json FILE]                       # the bundled editor, on the CPU
    python benchmarks/speed_steps.py --folder DIR --device cuda --compile --json FILE

Each step is switched from outside the library while all others stay. Its row shows the time after it in units of the
time before it, for one edit of each of eight images with their analysis. The prediction is that ratio on a machine
where each operation takes the longer of its arithmetic at the ceiling and its data at the bandwidth, both measured
first, and where calls and Python take no time. If the folder does not exist, the exact SD v1.5 configuration is saved
there with random weights (4 GB). On a CPU, seconds are processor time: set OMP_NUM_THREADS=1. ``--compile`` takes
minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from counting import Roofline, alternate, bandwidth, ceiling
from edit_throughput import EDITS, Inputs
from sd15_on_cpu import build

from augsal_transforms import SaliencyEditor
from augsal_transforms.diffusion.model import DiffusionModel
from augsal_transforms.progress import Quiet, progress_bar

Step = tuple[str, Callable[[], object], Callable[[], object]]  # its name, the edits before it and after it
COMPILED = "the networks compiled"


@dataclass
class Gain:
    """Time after a step in units of the time before it, predicted and measured.

    ``share_of_bound`` is the predicted time after the step in units of the measured one, so 1 is
    at the limits of the machine.
    """

    step: str
    predicted: float
    measured: float
    share_of_bound: float


class Forgetful(DiffusionModel):
    """A model that encodes the empty prompt again at every request."""

    @property
    def empty_prompt(self) -> torch.Tensor:
        return self.encode_prompts([""])


class OneByOne:
    """A text encoder that encodes each text of a batch alone."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.device = encoder, encoder.device

    def __call__(self, ids: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.cat([self.encoder(row)[0] for row in ids.split(1)]),)


def steps(load: Callable[..., SaliencyEditor], inputs: Inputs, *, compiled: bool) -> Iterator[Step]:
    """Yield every step that can be switched from outside; on a GPU precision and the U-Net's layout too."""
    editor = load()
    model, config = editor.model, replace(editor.config, batch_size=len(inputs.images))
    editor = replace(editor, config=config)
    given = (inputs.images, inputs.saliency_maps, inputs.captions)
    wanted = [[EDITS[(n + k) % 4] for k in range(4)] for n in range(len(inputs.images))]

    def edits(of: SaliencyEditor, **options: Any) -> Callable[[], object]:
        return partial(replace(of, config=replace(config, **options)).edit, *given, [few[:1] for few in wanted])

    def singly() -> None:
        for k in range(4):
            editor.edit(*given, [few[k : k + 1] for few in wanted])

    def contiguous(part: str) -> SaliencyEditor:
        other = load()
        getattr(other.model, part).to(memory_format=torch.contiguous_format)
        return other

    forgetful = Forgetful(**{f.name: getattr(model, f.name) for f in fields(model)})
    apart = replace(model, text_encoder=OneByOne(model.text_encoder))
    now = edits(editor)
    yield "eight images together, not one by one", edits(editor, batch_size=1), now
    yield "four edits of an image share its analysis", singly, partial(editor.edit, *given, wanted)
    yield "the VAE in channels_last", edits(contiguous("vae")), now
    yield "the texts of a batch in one call", edits(replace(editor, model=apart)), now
    yield "the empty prompt encoded once", edits(replace(editor, model=forgetful)), now
    if model.device.type == "cuda":
        yield "the U-Net in channels_last", edits(contiguous("unet")), now
        yield "float16, not float32", edits(load(dtype=torch.float32)), now
        yield "bfloat16 for the U-Net, not float16", now, edits(load(dtype=torch.bfloat16))
    if compiled:
        yield COMPILED, now, edits(load(compile=True))


def measure(given: list[Step], rounds: int, device: torch.device) -> list[Gain]:
    """Predict the gain of each step, then measure all steps in turns."""
    cuda = device.type == "cuda"
    dtypes = (torch.float32, *((torch.float16, torch.bfloat16) if cuda else ()))
    machine = {dtype: ceiling(device, dtype) for dtype in dtypes}, bandwidth(device)
    peaks = ", ".join(f"{peak / 1e12:.3g} TFLOP/s in {dtype}" for dtype, peak in machine[0].items())
    print(f"The limits of this machine: {peaks}; {machine[1] / 1e9:.0f} GB/s.")
    predicted, bounds = {}, {}
    for name, before, after in progress_bar(given, "step", "predicting"):
        before()  # what is prepared at first: texts, kernels, compilations
        after()
        with Roofline(*machine) as first:
            before()
        with Roofline(*machine) as second:
            (before if name == COMPILED else after)()
        bounds[name] = second.fused if name == COMPILED else second.seconds
        predicted[name] = bounds[name] / first.seconds
    runs = {f"{name}, {when}": run for name, *both in given for when, run in zip("ba", both, strict=True)}
    times = alternate(runs, rounds, cuda=cuda)
    after, before_it = ({name: times[f"{name}, {when}"] for name, *_ in given} for when in "ab")
    return [
        Gain(name, predicted[name], after[name] / before_it[name], bounds[name] / after[name]) for name, *_ in given
    ]


def main(arguments: list[str] | None = None) -> list[Gain]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="folder of a pipeline; the bundled editor if not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    if options.folder and not options.folder.exists():
        torch.manual_seed(0)
        build(options.folder)
    device = torch.device(options.device)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    load = partial(SaliencyEditor.from_pretrained, str(options.folder or "bundled"), device=device, dtype=dtype)
    inputs = Inputs.render(options.images, load().model.resolution)
    gains = measure(list(steps(load, inputs, compiled=options.compile)), options.rounds, device)
    print("| step | predicted | measured | share of the machine's limits |\n|---|---|---|---|")
    for gain in gains:
        print(f"| {gain.step} | {gain.predicted:.2f} | {gain.measured:.2f} | {gain.share_of_bound:.0%} |")
    if options.json:
        options.json.write_text(json.dumps([asdict(gain) for gain in gains], indent=2) + "\n")
    return gains


if __name__ == "__main__":
    main()

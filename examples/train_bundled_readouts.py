"""Train the bundled readouts: photometric properties, classes and saliency from the bundled editor's features.

    python examples/train_bundled_readouts.py --out augsal_transforms/assets/readouts

The script renders scenes of the editor's series from number 100 000 on, which the editor was not trained on, trains all
readouts on them together, chooses the blur of the saliency map on scenes of a third series, and writes a card.
Checkpoints are kept in ``--runs``: the same command resumes from them. On a CPU with several cores, several processes
of one thread are faster than one process of several threads: ``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2
examples/train_bundled_readouts.py --out FOLDER``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from editor_training.gaze import PARTS, GazeParts
from editor_training.photographs import TRAINING
from torch.utils.data import ConcatDataset, Dataset

from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.losses import correlation_coefficient, kl_divergence
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.readouts.readouts import WEIGHTS, Readouts, load_readouts
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.training.launch import SERIES, START, one_of_several, render_once
from augsal_transforms.training.readouts import ReadoutTraining
from augsal_transforms.training.samples import TrainingConfig

WIDTH, BLUR_SERIES = 64, 77
RATE, RATE_FROM_START = 1e-3, 5e-4  # learning rates from random weights, and from trained ones
BLURS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)  # latent cells

SCENES_ALONE = """**For**: `SaliencyPredictor.from_pretrained("bundled")` on procedural scenes, tests, examples. **Not
for** real photographs: neither the editor nor the readouts ever saw one, and the "people" whose gaze SR learned are a
synthetic observer (`augsal_transforms.scenes.observer`).
"""
WITH_PHOTOGRAPHS = """**For**: `SaliencyPredictor.from_pretrained("bundled")` on procedural scenes and on photographs,
tests, examples. SR learned from a synthetic observer of the scenes (`augsal_transforms.scenes.observer`) and from
people who looked at photographs. Classes are those of the scenes alone.
"""
PEOPLE = (
    f"; as a second data set {1 + PARTS} parts each of {TRAINING} photographs of OSIE with their viewers' gaze "
    "(Xu, Jiang, Wang, Kankanhalli, Zhao, Journal of Vision 2014; MIT licence), also mirrored, without captions"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the readouts")
    parser.add_argument("--editor", default="bundled", help="the editor whose features are read")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/readouts"), help="folder of rendered scenes and checkpoints"
    )
    parser.add_argument("--photographs", type=Path, help="data set of photographs and people's gaze")
    parser.add_argument("--start", type=Path, help="folder of readouts to start from, instead of random weights")
    parser.add_argument("--scenes", type=int, default=16384)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--held-out", type=int, default=96, help="number of scenes on which the blur is chosen")
    parser.add_argument("--smoke", action="store_true", help="run a few steps of everything, in a minute")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    if options.smoke:
        options.scenes, options.steps, options.held_out = 32, 4, 4
    options.runs.mkdir(parents=True, exist_ok=True)
    with one_of_several("cpu") as (_, rank, wait):
        if rank == 0:  # the other processes read the scenes and the index
            AnnotatedFolder(render_once(options.runs / "scenes", options.scenes), index=options.runs / "index.json")
            if options.photographs is not None:
                GazeParts(options.photographs, options.runs / "gaze.pt")
        wait()
        train(options, rank)


def train(options: argparse.Namespace, rank: int) -> None:
    scenes = AnnotatedFolder(options.runs / "scenes", index=options.runs / "index.json")
    dataset: Dataset[Any] = scenes
    if options.photographs is not None:
        dataset = ConcatDataset([scenes, GazeParts(options.photographs, options.runs / "gaze.pt")])
    rate = RATE if options.start is None else RATE_FROM_START
    config = TrainingConfig(
        readout_steps=options.steps,
        saliency_steps=options.steps,
        feature_rate=rate,
        head_rate=rate,
        schedule="cosine",
    )
    editor = SaliencyEditor.from_pretrained(options.editor)
    run = ReadoutTraining(editor, dataset, scenes.classes, config, width=WIDTH, folder=options.runs)
    if options.start is not None:
        earlier, _ = load_readouts(options.start)
        if earlier.config.classes != scenes.classes:
            raise ValueError(f"{options.start} must know the classes {scenes.classes}, got {earlier.config.classes}.")
        run.readouts.load_state_dict(earlier.state_dict())
    trained = run.run()
    if rank > 0:
        return
    predictor, table = choose_blur(trained, options.held_out)
    predictor.save(options.out)
    budget = f"{run.seconds / 60:.0f} min, {run.world} process(es) of {torch.get_num_threads()} CPU thread(s)"
    write_card(options, predictor.readouts, config, table, budget)


def choose_blur(predictor: SaliencyPredictor, count: int) -> tuple[SaliencyPredictor, str]:
    """Choose the blur of the lowest KLD on held-out scenes; return the predictor and the table of all blurs."""
    scenes = [render_scene(n, BLUR_SERIES) for n in range(count)]
    targets = torch.stack([observe(scene.image, scene.objects, seed=n) for n, scene in enumerate(scenes)])
    images, rows, tried = [scene.image for scene in scenes], [], {}
    for blur in progress_bar(BLURS, "blur"):
        readouts = Readouts(replace(predictor.readouts.config, blur=blur)).eval().requires_grad_(False)
        readouts.load_state_dict(predictor.readouts.state_dict())
        candidate = replace(predictor, readouts=readouts)
        maps = torch.stack(candidate.predict(images))
        kld, cc = kl_divergence(maps, targets).mean().item(), correlation_coefficient(maps, targets).mean().item()
        tried[kld] = candidate
        rows.append(f"σ = {blur:g}: KLD {kld:.3f}, CC {cc:.3f}")
    return tried[min(tried)], "; ".join(rows)


def write_card(
    options: argparse.Namespace, readouts: Readouts, config: TrainingConfig, blurs: str, budget: str
) -> None:
    folder, photographs = options.out, options.photographs is not None
    parameters = sum(p.numel() for p in readouts.parameters()) / 1e6
    size = (folder / WEIGHTS).stat().st_size / 1e6
    given = f"--scenes {options.scenes} --steps {options.steps}"
    given += " --photographs OSIE" if photographs else ""
    given += " --start EARLIER" if options.start is not None else ""
    (folder / "README.md").write_text(f"""# The bundled readouts

What the bundled editor's features know: six photometric properties of an area (LLFR), the class of an object in a
box (HLFR, {len(readouts.config.classes)} kinds of objects) and a saliency map (SR), C = {readouts.config.width}.
{parameters:.2f} M parameters, {size:.1f} MB of float16 safetensors.

{WITH_PHOTOGRAPHS if photographs else SCENES_ALONE}
| | |
|---|---|
| data | {options.scenes} procedural scenes, series {SERIES} from {START} on; captions dropped with a chance of \
{config.dropped:g}{PEOPLE if photographs else ""} |
| losses | Eq. 3, distances in standard deviations; Eq. 4 with the signs of the released code |
| training | {config.steps} steps of {config.batch_size}, AdamW, {config.feature_rate:g} for the feature extractors, \
{config.head_rate:g} for the heads, falling along a cosine; bfloat16 with float32 weights; {budget} |
| start | {"random weights" if options.start is None else "the weights of earlier readouts (`--start`)"} |
| noise | one level, {readouts.config.noise_level:g} of the schedule, fresh in every step |
| blur of S′ | {readouts.config.blur:g} latent cells: \
lowest KLD, as Eq. 5 trains it, on held-out scenes (series {BLUR_SERIES}): {blurs} |
| seed | {config.seed} for weights and draws |
| made by | `python examples/train_bundled_readouts.py --out augsal_transforms/assets/readouts {given}` |
| figures | `python benchmarks/readouts.py`; its table is in benchmarks/README.md |

Licence: Apache-2.0, as the package.
""")


if __name__ == "__main__":
    main()

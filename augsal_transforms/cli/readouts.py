"""`augsal train-readouts`."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.options import DEVICE, EDITOR, AsJson, Device, Editor, Sigma
from augsal_transforms.cli.outputs import check_folder
from augsal_transforms.cli.preflight import check_device, check_editor, check_number
from augsal_transforms.cli.progress import Quiet, bars

if TYPE_CHECKING:
    from augsal_transforms.training.samples import TrainingConfig


DataWithBoxes = Annotated[Path | None, typer.Option(help="A data set in SALICON's layout with COCO's annotations.")]
Scenes = Annotated[int, typer.Option(min=1, help="Without --data: number of scenes to render into OUT.")]
Width = Annotated[int, typer.Option(min=1, help="C: 64 for the bundled editor, 384 in the paper.")]
ReadoutSteps = Annotated[int, typer.Option(min=1, help="Iterations of Eq. 3 (Sec. 5.1).")]
SaliencySteps = Annotated[int, typer.Option(min=1, help="Iterations of Eq. 4 (Sec. 5.1).")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images in a step, over all processes.")]
FeatureRate = Annotated[float, typer.Option(help="Learning rate of the feature extractors.")]
HeadRate = Annotated[float, typer.Option(help="Learning rate of the heads.")]


def train_readouts(
    out: Annotated[Path, typer.Option(help="The folder for readouts, checkpoint and metrics.")],
    data: DataWithBoxes = None,
    sigma: Sigma = None,
    scenes: Scenes = 6144,
    editor: Editor = EDITOR,
    width: Width = 128,
    readout_steps: ReadoutSteps = 20_000,
    saliency_steps: SaliencySteps = 22_000,
    batch_size: BatchSize = 16,
    feature_rate: FeatureRate = 5e-5,
    head_rate: HeadRate = 1e-4,
    cosine: Annotated[bool, typer.Option("--cosine", help="Let both rates fall along a cosine.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Train SR on edited images too (Eq. 7).")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Number of processes that read images.")] = 0,
    device: Device = DEVICE,
    seed: Annotated[int, typer.Option(help="Seed of weights and draws.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train the readouts of an editor, a saliency model among them.

    Run it again to go on; run it under torchrun to use several GPUs.
    """
    from augsal_transforms.training.samples import TrainingConfig

    check_number(feature_rate, "--feature-rate", above=0)
    check_number(head_rate, "--head-rate", above=0)
    config = TrainingConfig(
        readout_steps=readout_steps,
        saliency_steps=saliency_steps,
        batch_size=batch_size,
        feature_rate=feature_rate,
        head_rate=head_rate,
        workers=workers,
        seed=seed,
        schedule="cosine" if cosine else "constant",
        augment=0.5 if augment else 0.0,
    )
    if sigma is not None and data is None:
        raise ValueError("--sigma is for the maps of --data. Leave it out, or give --data.")
    if _train(out, data, sigma, scenes, editor, width, check_device(device), config, quiet=quiet):
        _print_next(out, editor, as_json)


def _train(
    out: Path,
    data: Path | None,
    sigma: float | None,
    scenes: int,
    editor: str,
    width: int,
    device: str,
    config: TrainingConfig,
    *,
    quiet: bool,
) -> bool:
    """Train, or take part in training; returns whether this is the first process, which saves the readouts."""
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.annotations import AnnotatedFolder, is_index
    from augsal_transforms.training.launch import one_of_several, render_once
    from augsal_transforms.training.readouts import ReadoutTraining

    index = out / "index.json"
    check_folder(out, "--out")
    if index.exists() and not is_index(index):
        raise FileExistsError(f"--out: {index} exists and is no index. Name another folder.")
    check_editor(editor)
    with one_of_several(device) as (place, rank, wait):
        out.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the other processes find the scenes and the index written
            AnnotatedFolder(data or render_once(out / "scenes", scenes, bars(quiet, "scene")), index=index, sigma=sigma)
        wait()
        dataset = AnnotatedFolder(data or out / "scenes", index=index, sigma=sigma)
        model = SaliencyEditor.from_pretrained(editor, device=place)
        classes = dataset.classes or ("object",)  # without boxes HLFR is not trained
        predictor = ReadoutTraining(model, dataset, classes, config, width=width, folder=out).run(quiet=quiet)
        if rank == 0:
            predictor.save(out)
        return rank == 0


def _print_next(out: Path, editor: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"out": str(out), "editor": editor}))
        return
    typer.echo(f"readouts of {editor} in {out}")
    typer.echo(f"Next: augsal evaluate --model {quote(str(out))} --data DIR")

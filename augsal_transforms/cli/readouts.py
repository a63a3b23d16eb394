"""`augsal train-readouts`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.options import DEVICE, EDITOR, AsJson, Device, Editor
from augsal_transforms.cli.outputs import check_folder
from augsal_transforms.cli.preflight import check_device, check_editor, check_number


def train_readouts(
    out: Annotated[Path, typer.Option(help="The folder for readouts, checkpoint and metrics.")],
    data: Annotated[Path | None, typer.Option(help="A data set in SALICON's layout with COCO's annotations.")] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Without --data: number of scenes to render into OUT.")] = 6144,
    editor: Editor = EDITOR,
    width: Annotated[int, typer.Option(min=1, help="C: 64 for the bundled editor, 384 in the paper.")] = 128,
    readout_steps: Annotated[int, typer.Option(min=0, help="Iterations of Eq. 3 (Sec. 5.1).")] = 20_000,
    saliency_steps: Annotated[int, typer.Option(min=0, help="Iterations of Eq. 4 (Sec. 5.1).")] = 22_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a step, over all processes.")] = 16,
    feature_rate: Annotated[float, typer.Option(help="Learning rate of the feature extractors.")] = 5e-5,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the heads.")] = 1e-4,
    cosine: Annotated[bool, typer.Option("--cosine", help="Let both rates fall along a cosine.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Train SR on edited images too (Eq. 7).")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Number of processes that read images.")] = 0,
    device: Device = DEVICE,
    seed: Annotated[int, typer.Option(help="Seed of weights and draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the readouts of an editor, a saliency model among them. Run it again, or under torchrun, to go on."""
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.annotations import AnnotatedFolder, is_index
    from augsal_transforms.training.launch import one_of_several, render_once
    from augsal_transforms.training.readouts import ReadoutTraining
    from augsal_transforms.training.samples import TrainingConfig

    check_number(feature_rate, "--feature-rate", above=0)
    check_number(head_rate, "--head-rate", above=0)
    check_folder(out, "--out")
    if (out / "index.json").exists() and not is_index(out / "index.json"):
        raise FileExistsError(f"--out: {out / 'index.json'} exists and is no index. Name another folder.")
    local = check_device(device)
    check_editor(editor)
    with one_of_several(local) as (place, rank, wait):
        out.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the other processes find the scenes and the index written
            folder = data or render_once(out / "scenes", scenes)
            AnnotatedFolder(folder, index=out / "index.json")
        wait()
        dataset = AnnotatedFolder(data or out / "scenes", index=out / "index.json")
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
        model = SaliencyEditor.from_pretrained(editor, device=place)
        classes = dataset.classes or ("object",)  # without boxes HLFR is not trained
        predictor = ReadoutTraining(model, dataset, classes, config, width=width, folder=out).run()
        if rank == 0:
            predictor.save(out)
            _print_next(out, editor, as_json)


def _print_next(out: Path, editor: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"out": str(out), "editor": editor}))
        return
    typer.echo(f"readouts of {editor} in {out}")
    typer.echo(f"Next: augsal evaluate --model {out} --data DIR")

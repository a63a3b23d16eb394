"""`augsal train-readouts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import usage_errors


def train_readouts(
    out: Annotated[Path, typer.Option(help="The folder for the readouts; checkpoint and metrics go there too.")],
    data: Annotated[Path | None, typer.Option(help="SALICON's layout with COCO's annotations; see README.")] = None,
    scenes: Annotated[int, typer.Option(help="Without --data: render so many scenes of series 1 into OUT.")] = 6144,
    editor: Annotated[str, typer.Option(help="bundled, sd-v1-5, a folder or a hub id.")] = "bundled",
    width: Annotated[int, typer.Option(help="C; 64 bundled, 384 the paper's.")] = 128,
    readout_steps: Annotated[int, typer.Option(help="Iterations of Eq. 3 (Sec. 5.1).")] = 20_000,
    saliency_steps: Annotated[int, typer.Option(help="Iterations of Eq. 4 (Sec. 5.1).")] = 22_000,
    batch_size: Annotated[int, typer.Option(help="Images a step, over all processes.")] = 16,
    feature_rate: Annotated[float, typer.Option(help="Learning rate of the feature extractors.")] = 5e-5,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the heads.")] = 1e-4,
    cosine: Annotated[bool, typer.Option("--cosine", help="Let both rates fall along a cosine.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Train SR on edited images too (Eq. 7).")] = False,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …; under torchrun each process takes its own GPU.")] = "cpu",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train the readouts of an editor, a saliency model among them; run it again to go on, or under torchrun."""
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.annotations import AnnotatedFolder
    from augsal_transforms.training.launch import one_of_several, render_once
    from augsal_transforms.training.readouts import ReadoutTraining
    from augsal_transforms.training.samples import TrainingConfig

    with usage_errors(), one_of_several(device) as (place, rank, wait):
        out.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the others find the scenes and the index written
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
        classes = dataset.classes or ("object",)  # without boxes HLFR is not trained, and has nothing to tell
        predictor = ReadoutTraining(model, dataset, classes, config, width=width, folder=out).run()
        if rank == 0:
            predictor.save(out)
            typer.echo(f"{out}")

"""`augsal scenes`: data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import usage_errors


def scenes(
    out: Annotated[Path, typer.Option(help="The folder to write, in SALICON's layout.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 100,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    seed: Annotated[int, typer.Option(help="The series; the bundled editor was trained on series 1.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 128,
) -> None:
    """Render procedural scenes with captions, objects, fixations and saliency maps of a synthetic observer."""
    from augsal_transforms.data.coco import write_scenes

    with usage_errors():
        write_scenes(out, count, split=split, seed=seed, size=size)
    typer.echo(f"{count} scenes in {out}")

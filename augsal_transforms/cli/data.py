"""`augsal scenes`, `check-data`, `convert-fixations` and `index`: data sets."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import UNFINISHED, usage_errors

SHOWN = 10  # of a list of problems

Folder = Annotated[Path, typer.Argument(help="The data set's folder.")]
Split = Annotated[str, typer.Option(help="train or val; a data set that is not divided is all train.")]
LayoutName = Annotated[str, typer.Option(help="salicon, mit1003, cat2000, plain, or auto.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


def scenes(
    out: Annotated[Path, typer.Option(help="The folder to write, in SALICON's layout.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 100,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    seed: Annotated[int, typer.Option(help="The series; the bundled editor was trained on series 1.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 128,
) -> None:
    """Render procedural scenes with captions, objects, fixations and saliency maps of a synthetic observer."""
    from augsal_transforms.scenes.writer import write_scenes

    with usage_errors():
        write_scenes(out, count, split=split, seed=seed, size=size)
    typer.echo(f"{count} scenes in {out}")


def check_data(
    folder: Folder,
    split: Split = "train",
    layout: LayoutName = "auto",
    report: Annotated[Path | None, typer.Option(help="Where all problems go, as CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recognise a data set's layout, read every file once, count, and list what is wrong; exit code 3 if anything."""
    from tqdm import tqdm

    from augsal_transforms.data import checks

    with usage_errors():
        progress = partial(tqdm, unit="image", leave=False, disable=None)
        found = checks.check_data(folder, split, layout, progress=progress)
        if report:
            checks.write_problems(found.problems, report)
    if as_json:
        problems = [problem._asdict() for problem in found.problems]
        typer.echo(json.dumps({**asdict(found), "problems": problems}))
    else:
        typer.echo(
            f"{found.layout}, {found.split}: {found.images:,} images · {found.maps:,} maps · {found.pairs:,} pairs · "
            f"captions of {found.captions:,} · fixations of {found.fixations:,} ({found.points:,} points)"
        )
        for problem in found.problems[:SHOWN]:
            typer.echo(f"  {problem.kind}: {problem.name or '–'}: {problem.detail}")
        kinds = Counter(problem.kind for problem in found.problems)
        told = f" ({', '.join(f'{kind} {count:,}' for kind, count in kinds.most_common())})" if kinds else ""
        typer.echo(f"problems: {len(found.problems):,}{told}{f' → {report}' if report else ''}")
    if found.problems:
        raise typer.Exit(UNFINISHED)


def convert_fixations(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The folder for NAME.png, 255 where anyone looked.")],
    split: Split = "train",
    layout: LayoutName = "auto",
    as_json: AsJson = False,
) -> None:
    """Write fixations, from .mat files or SALICON's JSON release, as .png fixation maps."""
    from augsal_transforms.data.fixations import read_fixations, write_fixation_maps
    from augsal_transforms.data.layouts import open_layout

    with usage_errors():
        fixations = read_fixations(open_layout(folder, split, layout))
        if not fixations:
            raise RuntimeError(f"{folder} has no fixations of {split!r}; `augsal check-data` tells what it has.")
        failures = write_fixation_maps(fixations, out)
    made = len(fixations) - len(failures)
    if as_json:
        typer.echo(json.dumps({"made": made, "failures": failures, "out": str(out)}))
    else:
        for name, reason in list(failures.items())[:SHOWN]:
            typer.echo(f"  {name}: {reason}", err=True)
        typer.echo(f"made {made:,} · failed {len(failures):,} → {out}")
    if failures:
        raise typer.Exit(UNFINISHED)


def index(
    out: Annotated[Path, typer.Option(help="The index file to write.")],
    captions: Annotated[Path | None, typer.Option(help="COCO's captions, or a table of file stem to caption.")] = None,
    instances: Annotated[Path | None, typer.Option(help="COCO's instances.")] = None,
) -> None:
    """Write captions and object boxes of COCO's annotation files as one small file, which training reads instead."""
    from augsal_transforms.data.annotations import make_index, write_index

    with usage_errors():
        if not (captions or instances):
            raise ValueError("--captions or --instances must be given.")
        made = make_index(captions, instances)
        write_index(made, out)
    size = out.stat().st_size / 1e6
    typer.echo(
        f"captions of {len(made['captions']):,} images · boxes of {len(made['boxes']):,} → {out} ({size:.1f} MB)"
    )

"""`augsal scenes`, `check-data`, `convert-fixations` and `index`: data sets."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.options import AsJson, DataFolder, LayoutName, Overwrite, Sigma, Split, Workers
from augsal_transforms.cli.outputs import check_files_in, check_folder, check_output
from augsal_transforms.cli.preflight import check_mat_files
from augsal_transforms.cli.progress import Quiet, bars
from augsal_transforms.cli.units import as_size

if TYPE_CHECKING:
    from augsal_transforms.data.folders import SaliencyFolder
    from augsal_transforms.data.problems import Report

SHOWN = 10  # problems that are printed


def scenes(
    out: Annotated[Path, typer.Option(help="The folder to write, in SALICON's layout.")],
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 100,
    split: Annotated[str, typer.Option(help="train or val; each has scenes of its own.")] = "train",
    seed: Annotated[
        int, typer.Option(help="Seed of the series. The bundled editor was trained on the series of seed 1.")
    ] = 0,
    size: Annotated[int, typer.Option(min=8, max=4096, help="Height and width in pixels.")] = 128,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Render procedural scenes with captions, objects, and the fixations and maps of a synthetic observer."""
    from augsal_transforms.scenes.writer import write_scenes

    check_folder(out, "--out")
    write_scenes(out, count, split=split, seed=seed, size=size, progress=bars(quiet, "scene"))
    if as_json:
        typer.echo(json.dumps({"scenes": count, "out": str(out)}))
        return
    typer.echo(f"{count:,} scenes in {out}")
    typer.echo(f"Next: augsal generate --data {quote(str(out))} --split {split} --store STORE --editor bundled")


def check_data(
    folder: DataFolder,
    split: Split = "train",
    layout: LayoutName = "auto",
    sigma: Sigma = None,
    workers: Workers = 1,
    report: Annotated[Path | None, typer.Option(help="A CSV file for all problems.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read every file of a data set once, count, and list problems.

    Exit code 3 if there are problems.
    """
    from augsal_transforms.data.checks import check_data as check
    from augsal_transforms.data.problems import is_problem_table, write_problems

    if report:
        check_output(report, "--report", overwrite=overwrite, is_own=is_problem_table)
    found = check(folder, split, layout, sigma=sigma, progress=bars(quiet, "image"), workers=workers)
    if as_json:
        problems = [problem._asdict() for problem in found.problems]
        typer.echo(json.dumps({**asdict(found), "problems": problems}))
    else:
        _print_report(found)
    if report:
        write_problems(found.problems, report, overwrite=overwrite)
        typer.echo(f"all problems: {report}", err=as_json)
    if found.problems:
        raise typer.Exit(FAILURES)


def _print_report(found: Report) -> None:
    typer.echo(
        f"{found.layout}, {found.split}: {found.images:,} images · {found.maps:,} maps · {found.pairs:,} pairs · "
        f"captions of {found.captions:,} · fixations of {found.fixations:,} ({found.points:,} points)"
    )
    for problem in found.problems[:SHOWN]:
        typer.echo(f"  {problem.kind}: {problem.name or '–'}: {problem.detail}")
    kinds = Counter(problem.kind for problem in found.problems)
    by_kind = f" ({', '.join(f'{kind} {count:,}' for kind, count in kinds.most_common())})" if kinds else ""
    typer.echo(f"problems: {len(found.problems):,}{by_kind}")


def convert_fixations(
    folder: DataFolder,
    out: Annotated[Path, typer.Option(help="A folder for NAME.png, which is 255 where anyone looked.")],
    split: Split = "train",
    layout: LayoutName = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the fixations of .mat files, or of SALICON's JSON release, as .png fixation maps."""
    from augsal_transforms.data.fixations import is_own_map, read_fixations, write_fixation_maps
    from augsal_transforms.data.layouts import open_layout

    dataset = open_layout(folder, split, layout)
    fixations = read_fixations(dataset)
    if not fixations:
        raise ValueError(f"{folder} has no fixations of {split!r}. `augsal check-data` lists what it has.")
    check_mat_files(fixations.files.values())
    inputs = [*_files_of(dataset), *(path for _, path in dataset.files.fixations)]
    names = [f"{name}.png" for name in fixations]
    check_files_in(out, names, "--out", inputs=inputs, overwrite=overwrite, is_own=is_own_map)
    _refuse_folders_of(dataset, out, names)
    failures = write_fixation_maps(fixations, out, overwrite=overwrite, progress=bars(quiet, "image"))
    made = len(fixations) - len(failures)
    if as_json:
        typer.echo(json.dumps({"made": made, "failures": failures, "out": str(out)}))
    else:
        for name, reason in list(failures.items())[:SHOWN]:
            typer.echo(f"  {name}: {reason}", err=True)
        typer.echo(f"made {made:,} · failed {len(failures):,} → {out}")
    if failures:
        raise typer.Exit(FAILURES)


def _files_of(dataset: SaliencyFolder) -> list[Path]:
    """The files of a data set's images and maps."""
    stored = (*dataset.images.values(), *dataset.maps.values())
    return [path if isinstance(path, Path) else path.source for path in stored]


def _refuse_folders_of(dataset: SaliencyFolder, out: Path, names: list[str]) -> None:
    """Refuse to put fixation maps beside images or saliency maps, where readers would take them for these."""
    taken = {path.parent.resolve() for path in _files_of(dataset)}
    if folder := next((path for path in ((out / name).parent for name in names) if path.resolve() in taken), None):
        raise ValueError(f"--out: {folder} has images or saliency maps of the data set. Name another folder.")


def index(
    out: Annotated[Path, typer.Option(help="The index file to write.")],
    captions: Annotated[Path | None, typer.Option(help="COCO's captions, or a table of file stem to caption.")] = None,
    instances: Annotated[Path | None, typer.Option(help="COCO's instances.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write COCO's captions and object boxes as one small file, which training reads."""
    from augsal_transforms.data.annotations import is_index, make_index, write_index

    inputs = [path for path in (captions, instances) if path]
    if not inputs:
        raise ValueError("--captions or --instances must be given.")
    check_output(out, "--out", inputs=inputs, overwrite=overwrite, is_own=is_index)
    made = make_index(captions, instances)
    write_index(made, out, overwrite=overwrite)
    found = {"captions": len(made["captions"]), "boxes": len(made["boxes"]), "bytes": out.stat().st_size}
    if as_json:
        typer.echo(json.dumps({**found, "out": str(out)}))
    else:
        counts = f"captions of {found['captions']:,} images · boxes of {found['boxes']:,}"
        typer.echo(f"{counts} → {out} ({as_size(found['bytes'])})")

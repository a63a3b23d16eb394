"""`augsal generate`: a data set's edits into a store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.gates import (
    PREDICTOR,
    Margin,
    Predictor,
    Raise,
    check_gate,
    usual_edits,
)
from augsal_transforms.cli.kinds import parse_edits
from augsal_transforms.cli.opening import DataFiles, open_data, open_generation
from augsal_transforms.cli.options import (
    DEVICE,
    EDITOR,
    AsJson,
    CheckPixels,
    Device,
    Editor,
    LayoutName,
    Sigma,
    Split,
    Threads,
)
from augsal_transforms.cli.outputs import check_folder
from augsal_transforms.cli.preflight import check_device, check_editor, check_library
from augsal_transforms.cli.progress import Quiet, bars
from augsal_transforms.cli.units import as_duration, as_size

if TYPE_CHECKING:
    from collections import Counter

    from augsal_transforms.cores import CoreShare
    from augsal_transforms.generate.generation import Generation

PRECISIONS = ("float32", "float16", "bfloat16")
ENGINES = ("scan", "ray")

Kinds = Annotated[
    str | None,
    typer.Option(
        help="Kinds, one edit of each for every image: {kinds}; KIND=ALPHA; MODULE:KIND of your own.  "
        "[default: contrast,brightness,color; with --raise-saliency color]"
    ),
]
ContrastAlpha = Annotated[str | None, typer.Option(help="α of contrast edits, or a range.  [default: 1.2:1.8]")]
BrightnessAlpha = Annotated[
    str | None, typer.Option(help="α of brightness edits, a share of full scale, or a range.  [default: 0.05:0.25]")
]
ColorAlpha = Annotated[
    str | None, typer.Option(help="NAME,NAME:low:high; either part may be left out.  [default: 0.3:0.8]")
]
PredictMaps = Annotated[
    bool, typer.Option("--predict-maps", help="Predict the map of every image; for images without maps.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Number of images, from the first on.")]
Seed = Annotated[int, typer.Option(help="Seed of draws and noise; another seed adds other edits.")]
Shard = Annotated[str, typer.Option(help="i/n: where this process begins, in place of torchrun or Slurm.")]
Engine = Annotated[str, typer.Option(help="scan: in this process; ray: on actors (the extra [ray]).")]
Actors = Annotated[int, typer.Option(min=1, help="Actors of --engine ray, with a GPU each if there are any.")]
Precision = Annotated[
    str, typer.Option(help="auto (float16 on a GPU, float32 on the CPU), float32, float16, bfloat16.")
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images in a pass.  [default: 8 on the CPU, 32 on a GPU]")]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the networks, for many images of one size on a GPU.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count, estimate from three images, and write no file.")]


def generate(
    data: Annotated[Path, typer.Option(help="A data set: SALICON, MIT1003, CAT2000, OSIE, or images beside maps.")],
    store: Annotated[Path, typer.Option(help="The store's folder; made if it is not there.")],
    split: Split = "train",
    layout: LayoutName = "auto",
    sigma: Sigma = None,
    editor: Editor = EDITOR,
    kinds: Kinds = None,
    contrast: ContrastAlpha = None,
    brightness: BrightnessAlpha = None,
    color: ColorAlpha = None,
    raise_saliency: Raise = "",
    predict_maps: PredictMaps = False,
    predictor: Predictor = PREDICTOR,
    margin: Margin = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    shard: Shard = "",
    engine: Engine = "scan",
    actors: Actors = 1,
    device: Device = DEVICE,
    dtype: Precision = "auto",
    batch_size: BatchSize = None,
    threads: Threads = None,
    compile: Compile = False,
    check_pixels: CheckPixels = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fill a store with edits of a data set.

    Run it again to go on. Run it on each GPU or machine to share the work. Exit code 3 if images failed.
    """
    values, usual = {"contrast": contrast, "brightness": brightness, "color": color}, usual_edits(raise_saliency)
    names_of_kinds = ("color" if raise_saliency else "contrast,brightness,color") if kinds is None else kinds
    edits = parse_edits(names_of_kinds, "--kinds", values, usual=usual)
    gate = check_gate(raise_saliency, predictor, margin, predict_maps)
    _check(engine, dtype, store, device)
    if predict_maps and sigma is not None:
        raise ValueError("--sigma makes maps from fixations, and --predict-maps predicts them: give one of the two.")
    files = (data, split, layout, sigma, predictor if predict_maps else "")
    names, rank, world = _list_share(files, limit, shard, editor, as_json)
    check_editor(editor)
    options: dict[str, Any] = {"editor": editor, "device": device, "dtype": dtype, "batch_size": batch_size}
    options["compile"] = compile and not dry_run  # three images would not pay for it
    make = partial(open_generation, files, store, edits, seed, gate, check_pixels, **options)
    if dry_run:
        with _cores(threads):
            _print_estimate(make(), names, world, as_json, quiet)
        return
    progress = bars(quiet or rank > 0, "image")
    fill = partial(_on_ray, actors, device, threads) if engine == "ray" else partial(_scan, threads)
    counts = fill(make, names, progress)
    _print_counts(counts, store, as_json)
    raise typer.Exit(_exit_code(counts))


def _check(engine: str, dtype: str, store: Path, device: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"--engine must be {' or '.join(ENGINES)}, got {engine!r}.")
    if engine == "ray":
        check_library("ray", "--engine ray")
    if dtype not in ("auto", *PRECISIONS):
        raise ValueError(f"--dtype must be auto, {', '.join(PRECISIONS)}, got {dtype!r}.")
    try:
        check_folder(store, "--store")
    except ValueError as error:
        if not (store / "v1").is_dir():
            raise
        typer.echo(f"augsal: {error} Edits that are there already are counted.", err=True)
    check_device(device)


def _cores(threads: int | None) -> CoreShare:
    """This process's share of the cores; prints how many threads that is."""
    from augsal_transforms.cores import CoreShare, together_here

    cores = CoreShare(threads, together=together_here(os.environ))
    typer.echo(cores.describe(), err=True)
    return cores


def _scan(
    threads: int | None, make: Callable[[], Generation], names: list[str], progress: Callable[..., Any]
) -> Counter[str]:
    with _cores(threads) as cores, progress(total=len(names)) as bar:

        def follow() -> None:
            cores.follow()
            bar.update()

        generation = make()
        generation.run(names, follow)
    return generation.counts


def _on_ray(
    actors: int,
    device: str,
    threads: int | None,
    make: Callable[[], Generation],
    names: list[str],
    progress: Callable[..., Any],
) -> Counter[str]:
    import torch

    from augsal_transforms.generate.ray import generate_on_ray

    gpus = 1.0 if device != "cpu" and torch.cuda.is_available() else 0.0
    with progress(total=len(names)) as bar:
        return generate_on_ray(make, names, actors=actors, gpus=gpus, finished=bar.update, threads=threads)


def _list_share(
    files: DataFiles, limit: int | None, shard: str, editor: str, as_json: bool
) -> tuple[list[str], int, int]:
    """Names of the images in the order of this process, its number, and the number of processes."""
    from augsal_transforms.generate.launch import from_offset, rank_and_world

    rank, world = rank_and_world(os.environ, shard)
    return from_offset(_list_names(files, editor, rank, as_json)[:limit], rank, world), rank, world


def _exit_code(counts: Counter[str]) -> int:
    # torchrun would take any other code for a crash and start all processes again.
    return FAILURES if counts["failed"] and "TORCHELASTIC_RUN_ID" not in os.environ else 0


def _list_names(files: DataFiles, editor: str, rank: int, as_json: bool) -> list[str]:
    """Names of the images to edit; the first process prints how many there are."""
    dataset = open_data(files)
    if rank == 0:
        typer.echo(
            f"{dataset.layout}, {dataset.split}: captions of {dataset.captioned:,} of {len(dataset):,} images, "
            f"{len(dataset.left_out):,} images left out (no map, or a name shared by two files); editor {editor}",
            err=as_json,
        )
    return dataset.names


def _print_counts(counts: Counter[str], store: Path, as_json: bool) -> None:
    outcomes = {name: counts[name] for name in ("made", "reused", "not_raised", "refused", "failed")}
    if as_json:
        typer.echo(json.dumps(outcomes))
        return
    where = f" → {store / 'failures.jsonl'}" if counts["failed"] else ""
    typer.echo(" · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in outcomes.items()) + where)
    if counts["made"] + counts["reused"]:
        typer.echo(f"Next: SaliencyDiffusionAugment(store={str(store)!r}) first in your Compose")


def _print_estimate(generation: Generation, names: list[str], world: int, as_json: bool, quiet: bool) -> None:
    from augsal_transforms.generate.estimate import estimate

    found = estimate(generation, bars(quiet, "image")(names))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    if found.failed:
        typer.echo(f"{found.failed:,} images cannot be read. Without --dry-run their names and the reasons are listed.")
    if not found.edits:
        typer.echo("Nothing is left to be made of the images that can be read.")
        return
    several = f", {as_duration(found.seconds / world)} for {world} like it" if world > 1 else ""
    typer.echo(
        f"{found.edits:,} edits of {found.images:,} images are to be made: {as_size(found.bytes)}, "
        f"{as_duration(found.seconds)} for one process on {generation.editor.model.device}{several}"
    )

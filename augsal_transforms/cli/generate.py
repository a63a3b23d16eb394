"""`augsal generate`: a data set's edits into a store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augsal_transforms.cli.errors import UNFINISHED, usage_errors

if TYPE_CHECKING:
    from collections import Counter

    from augsal_transforms import SaliencyEditor
    from augsal_transforms.generate.generation import Generation


def generate(
    data: Annotated[Path, typer.Option(help="A data set: SALICON, MIT1003, CAT2000, or images beside maps.")],
    store: Annotated[Path, typer.Option(help="The store's folder; made if it is not there.")],
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    layout: Annotated[str, typer.Option(help="salicon, mit1003, cat2000 or plain; auto recognises them.")] = "auto",
    editor: Annotated[str, typer.Option(help="sd-v1-5, bundled, a folder or a hub id.")] = "sd-v1-5",
    kinds: Annotated[str, typer.Option(help="One edit of each is made of every image.")] = "contrast,brightness,color",
    contrast: Annotated[str, typer.Option(help="Strength, or a range of them to draw from.")] = "1.2:1.8",
    brightness: Annotated[str, typer.Option(help="Likewise, of full scale.")] = "0.05:0.25",
    color: Annotated[str, typer.Option(help="NAME,NAME:low:high; either part may be left out.")] = "0.3:0.8",
    limit: Annotated[int | None, typer.Option(help="Take the first so many images.")] = None,
    seed: Annotated[int, typer.Option(help="Of draws and noise; another seed adds other edits.")] = 0,
    shard: Annotated[str, typer.Option(help="i/n in place of what torchrun or Slurm say: where to begin.")] = "",
    engine: Annotated[str, typer.Option(help="scan: in this process; ray: on actors (the extra [ray]).")] = "scan",
    actors: Annotated[int, typer.Option(help="Of --engine ray; a GPU each where there are GPUs.")] = 1,
    device: Annotated[str, typer.Option(help="auto: this process's GPU, or the CPU.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto: float16 on a GPU, float32 on the CPU.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(help="Images that go through the networks together; 8 on the CPU, 32 on a GPU.")
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the networks: minutes at first; for images of one size on a GPU.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, probe three images, write no edit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Fill a store with edits of a data set; run it again to go on, or as often as there are GPUs."""
    from functools import partial

    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.generate.launch import from_offset, rank_and_world

    with usage_errors():
        edits = parse_edits(kinds, contrast, brightness, color)
        rank, world = rank_and_world(os.environ, shard)
        names = from_offset(open_layout(data, split, layout).names[:limit], rank, world)
        options = {"editor": editor, "device": device, "dtype": dtype, "batch_size": batch_size}
        options["compile"] = compile and not dry_run  # three images would not pay for it
        make = partial(open_generation, (data, split, layout), store, edits, seed, **options)
        if dry_run:
            _tell_estimate(make(), names, world, as_json)
            return
        if engine == "ray":
            counts = _on_ray(make, names, actors, device)
        elif engine == "scan":
            counts = _scan(make(), names, rank)
        else:
            raise ValueError(f"--engine must be scan or ray, got {engine!r}.")
    _tell(counts, store, as_json)
    # torchrun would take any other code for a crash and start all processes again.
    raise typer.Exit(UNFINISHED if counts["failed"] and "TORCHELASTIC_RUN_ID" not in os.environ else 0)


def parse_edits(kinds: str, contrast: str, brightness: str, color: str) -> list[Any]:
    """The edits that ``--kinds`` and the strengths of each name.

    Raises:
        ValueError: For an unknown kind, or a strength that is neither a number nor low:high.
    """
    from augsal_transforms import Brightness, Color, Contrast

    names, _, strengths = color.partition(":") if color[:1].isalpha() else ("", "", color)
    target: dict[str, Any] = {"color": tuple(names.split(","))} if names else {}
    target |= {"alpha": _strength("color", strengths)} if strengths else {}
    makers: dict[str, Any] = {
        "contrast": lambda: Contrast(_strength("contrast", contrast)),
        "brightness": lambda: Brightness(_strength("brightness", brightness)),
        "color": lambda: Color(**target),
    }
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    if unknown := set(wanted) - set(makers):
        raise ValueError(f"--kinds must be among {', '.join(makers)}, got {', '.join(sorted(unknown))}.")
    return [makers[kind]() for kind in wanted]


def _strength(kind: str, text: str) -> float | tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ValueError(f"--{kind} must be a strength or low:high, got {text!r}.")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def open_generation(
    files: tuple[Path, str, str], store: Path, edits: list[Any], seed: int, **options: Any
) -> Generation:
    """What fills the store, in this process or in an actor."""
    from augsal_transforms import EditStore
    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.generate.generation import Generation

    return Generation(open_editor(**options), EditStore(store), open_layout(*files), edits, seed=seed)


def open_editor(editor: str, device: str, dtype: str, batch_size: int | None, *, compile: bool) -> SaliencyEditor:
    """An editor on this process's device, in the precision that suits it, with batches that fit."""
    import torch

    from augsal_transforms import EditConfig, SaliencyEditor
    from augsal_transforms.generate.launch import own_device

    place = own_device(os.environ, device)
    if dtype == "auto":
        dtype = "float16" if place.startswith("cuda") else "float32"
    precisions = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype not in precisions:
        raise ValueError(f"--dtype must be auto, {', '.join(precisions)}, got {dtype!r}.")
    # Halved where a GPU's memory does not hold it. On a CPU an edit in a batch of 8 takes 0.73 of the time, of 4 0.75.
    config = EditConfig(batch_size=(32 if place.startswith("cuda") else 8) if batch_size is None else batch_size)
    return SaliencyEditor.from_pretrained(editor, device=place, dtype=precisions[dtype], config=config, compile=compile)


def _scan(generation: Generation, names: list[str], rank: int) -> Counter[str]:
    from tqdm import tqdm

    with tqdm(total=len(names), unit="image", disable=rank > 0) as progress:
        try:
            generation.run(names, lambda: progress.update())
        except KeyboardInterrupt:
            progress.close()
            typer.echo("Stopped. What is made is kept: the same command goes on from here.", err=True)
            raise typer.Exit(130) from None
    return generation.counts


def _on_ray(make: Any, names: list[str], actors: int, device: str) -> Counter[str]:
    import torch

    from augsal_transforms.generate.ray import generate_on_ray

    gpus = 1.0 if device != "cpu" and torch.cuda.is_available() else 0.0
    return generate_on_ray(make, names, actors=actors, gpus=gpus)


def _tell(counts: Counter[str], store: Path, as_json: bool) -> None:
    outcomes = {name: counts[name] for name in ("made", "reused", "refused", "failed")}
    if as_json:
        typer.echo(json.dumps(outcomes))
        return
    where = f" → {store / 'failures.jsonl'}" if counts["failed"] else ""
    typer.echo(" · ".join(f"{name} {count:,}" for name, count in outcomes.items()) + where)


def _tell_estimate(generation: Generation, names: list[str], world: int, as_json: bool) -> None:
    from dataclasses import asdict

    found = generation.estimate(names)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    several = f", {found.seconds / 3600 / world:.2f} for {world} like it" if world > 1 else ""
    typer.echo(
        f"{found.edits:,} edits of {found.images:,} images are lacking: {found.bytes / 1e9:.3f} GB, "
        f"{found.seconds / 3600:.2f} hours for one process on {generation.editor.model.device}{several}"
    )

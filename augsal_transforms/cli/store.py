"""`augsal verify`, `stats`, `gc` and `pack`: looking after a store of edits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import UNFINISHED, usage_errors

Store = Annotated[Path, typer.Option(help="The store's folder.")]


def verify(
    store: Store,
    repair: Annotated[bool, typer.Option("--repair", help="Delete what is damaged; index the rest anew.")] = False,
) -> None:
    """Read every record of a store whole; exit code 3 if one is damaged."""
    from augsal_transforms import EditStore
    from augsal_transforms.store.maintenance import damaged_records
    from augsal_transforms.store.maintenance import repair as mend

    with usage_errors():
        opened = EditStore(store, readonly=not repair)
        damaged = mend(opened) if repair else list(damaged_records(opened))
        sound = sum(1 for _ in opened.records()) - (0 if repair else len(damaged))
    for path in damaged:
        typer.echo(f"damaged: {path}{', deleted' if repair else ''}")
    typer.echo(f"{sound:,} sound · {len(damaged):,} damaged")
    raise typer.Exit(UNFINISHED if damaged and not repair else 0)


def gc(
    store: Store,
    minutes: Annotated[float, typer.Option(help="Younger files may belong to a process that is alive.")] = 60.0,
) -> None:
    """Delete the temporary files and claims that killed processes left."""
    from augsal_transforms import EditStore
    from augsal_transforms.store.maintenance import collect_garbage

    with usage_errors():
        count = collect_garbage(EditStore(store, readonly=True), minutes=minutes)
    typer.echo(f"{count:,} deleted")


def stats(
    store: Store, as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False
) -> None:
    """What a store holds."""
    from augsal_transforms import EditStore
    from augsal_transforms.store.maintenance import statistics

    with usage_errors():
        found = statistics(EditStore(store, readonly=True))
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{found['edits']:,} edits of {found['images']:,} images, {found['bytes'] / 1e9:.3f} GB")
    for title in ("kinds", "words", "bound_by"):
        counts = ", ".join(f"{name or 'none'} {count:,}" for name, count in found[title].items())
        typer.echo(f"  {title.replace('_', ' ')}: {counts}")
    if found["edits"]:
        typer.echo(f"  mean strength {found['strength']:.2f}")


def pack(
    store: Store,
    out: Annotated[Path, typer.Option(help="The folder for edits-000000.tar and so on.")],
    shard_gb: Annotated[float, typer.Option(help="Size of a file.")] = 1.0,
) -> None:
    """Write a store as WebDataset tar files; `tar xf` in a folder makes a store of them again."""
    from augsal_transforms import EditStore
    from augsal_transforms.store.maintenance import pack as write

    with usage_errors():
        shards = write(EditStore(store, readonly=True), out, shard_bytes=round(shard_gb * 1e9))
    typer.echo(f"{len(shards)} file{'s' * (len(shards) != 1)} in {out}")

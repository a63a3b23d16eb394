"""`augsal verify`, `stats`, `gc` and `pack`: the maintenance of a store of edits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.options import AsJson, Store
from augsal_transforms.cli.outputs import check_folder
from augsal_transforms.cli.preflight import check_number
from augsal_transforms.cli.progress import Quiet, bars
from augsal_transforms.cli.units import as_size

if TYPE_CHECKING:
    from augsal_transforms import EditStore


def verify(
    store: Store,
    repair: Annotated[bool, typer.Option("--repair", help="Delete damaged records and rebuild the index.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read every record of a store whole.

    Exit code 3 if one is damaged and --repair was not given.
    """
    from augsal_transforms.store.maintenance import damaged_records
    from augsal_transforms.store.maintenance import repair as delete_damaged

    opened = _open(store)
    if repair:
        check_folder(store, "--store")
    progress = bars(quiet, "edit")
    damaged = delete_damaged(opened, progress=progress) if repair else list(damaged_records(opened, progress=progress))
    sound = sum(1 for _ in opened.records()) - (0 if repair else len(damaged))
    if as_json:
        found = {"sound": sound, "damaged": [str(path) for path in damaged], "deleted": repair}
        typer.echo(json.dumps(found))
    else:
        for path in damaged:
            typer.echo(f"damaged: {path}{', deleted' if repair else ''}")
        typer.echo(f"{sound:,} sound · {len(damaged):,} damaged")
    raise typer.Exit(FAILURES if damaged and not repair else 0)


def gc(
    store: Store,
    minutes: Annotated[float, typer.Option(help="Age above which a file is deleted.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Delete temporary files and claims of processes that were killed."""
    from augsal_transforms.store.maintenance import collect_garbage

    check_number(minutes, "--minutes", least=0)
    opened = _open(store)
    check_folder(store, "--store")
    count = collect_garbage(opened, minutes=minutes)
    typer.echo(json.dumps({"deleted": count}) if as_json else f"{count:,} deleted")


def stats(store: Store, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Count the edits of a store by kind, by word and by the property that bound their strength."""
    from augsal_transforms.store.maintenance import statistics

    found = statistics(_open(store), progress=bars(quiet, "edit"))
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{found['edits']:,} edits of {found['images']:,} images, {as_size(found['bytes'])}")
    for title in ("kinds", "words", "bound_by"):
        counts = ", ".join(f"{name or 'none'} {count:,}" for name, count in found[title].items())
        typer.echo(f"  {title.replace('_', ' ')}: {counts}")
    if found["raised"] or found["not_raised"]:
        rise = f", mean rise of predicted gaze {found['rise']:+.1%}" if found["raised"] else ""
        typer.echo(f"  raised {found['raised']:,}, not raised {found['not_raised']:,}{rise}")
    if found["edits"]:
        typer.echo(f"  mean strength {found['strength']:.2f}")


def pack(
    store: Store,
    out: Annotated[Path, typer.Option(help="A folder without edits-*.tar; made if it is not there.")],
    shard_gb: Annotated[float, typer.Option(help="Size of a tar file, in GB.")] = 1.0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a store as WebDataset tar files.

    `tar xf` in a folder makes a store of them again.
    """
    from augsal_transforms import EditStore
    from augsal_transforms.store.maintenance import pack as write

    check_number(shard_gb, "--shard-gb", above=0)
    opened = EditStore(store, readonly=True)
    check_folder(out, "--out")
    shards = write(opened, out, shard_bytes=round(shard_gb * 1e9), progress=bars(quiet, "edit"))
    if as_json:
        typer.echo(json.dumps({"files": [str(shard) for shard in shards]}))
    else:
        typer.echo(f"{len(shards)} file{'s' * (len(shards) != 1)} in {out}")


def _open(folder: Path) -> EditStore:
    """A store for maintenance; it may be one that a killed run left without an edit."""
    from augsal_transforms import EditStore

    opened = EditStore(folder)
    if not any((folder / part).is_dir() for part in ("v1", "claims")):
        opened.require_edits()
    return opened

"""`augsal gallery`: a page and a figure of edits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.gates import PREDICTOR
from augsal_transforms.cli.kinds import parse_edits
from augsal_transforms.cli.options import DEVICE, AsJson, Data, Device, LayoutName, Overwrite, Split
from augsal_transforms.cli.outputs import FIGURES, check_output, check_outputs_apart
from augsal_transforms.cli.preflight import check_device, check_editor, check_library
from augsal_transforms.cli.progress import Quiet, bars
from augsal_transforms.cli.units import as_size
from augsal_transforms.files import write_file

if TYPE_CHECKING:
    from augsal_transforms.data.folders import SaliencyFolder
    from augsal_transforms.gallery.shown import Problems, RenderedImages, ShownImage, StoredImages
    from augsal_transforms.readouts.contract import PredictsSaliency

_ENDINGS = (".html", ".htm")
_NAMED = 5  # problems of a kind that are named

StoreFolder = Annotated[Path | None, typer.Option(help="The store's folder. Not needed with --editor.")]
Page = Annotated[Path, typer.Option(help="The page, .html: one file that loads nothing.")]
Figure = Annotated[Path | None, typer.Option(help="A figure of the same images: .png, .pdf or .svg.")]
Count = Annotated[int, typer.Option(min=1, help="Number of images, spread over the kinds of edit.")]
EditorName = Annotated[
    str | None, typer.Option(help="Show edits that this editor makes now, at several strengths: as in `augsal edit`.")
]
Kinds = Annotated[str, typer.Option(help="With --editor: kinds of edit, as in `augsal generate`.")]
Strengths = Annotated[int, typer.Option(min=1, max=12, help="With --editor: number of α from each range.")]
Predictor = Annotated[
    str | None, typer.Option(help="Show predicted saliency before and after: photographs, bundled, or a folder.")
]
PredictMaps = Annotated[
    bool, typer.Option("--predict-maps", help=f"Predict saliency maps, by {PREDICTOR} without --predictor.")
]


def gallery(
    data: Data,
    out: Page,
    store: StoreFolder = None,
    png: Figure = None,
    count: Count = 24,
    split: Split = "train",
    layout: LayoutName = "auto",
    editor: EditorName = None,
    kinds: Kinds = "contrast,brightness,color",
    strengths: Strengths = 3,
    predictor: Predictor = None,
    predict_maps: PredictMaps = False,
    device: Device = DEVICE,
    seed: Annotated[int, typer.Option(help="With --editor: seed of the draws and the noise.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Show the edits of a store, or of an editor, as a page to look at.

    Exit code 3 if records or images were damaged; the page shows the others.
    """
    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.gallery.shown import Problems

    if store is None and editor is None:
        raise ValueError("give --store, a folder of edits, or --editor, which makes some.")
    _check_outputs(out, png, overwrite)
    place = check_device(device)
    dataset = (
        _open_unmapped(data, split, layout, predictor, place) if predict_maps else open_layout(data, split, layout)
    )
    problems = Problems()
    if editor is None and store is not None:
        images: StoredImages | RenderedImages = _read(store, dataset, problems)
    else:
        images = _render(str(editor), place, dataset, kinds, problems, store, strengths, seed)
    model = _load_predictor(predictor, place)
    title = (store or data).absolute().name
    shown = _write(islice(images, count), model, out, png, title, min(count, len(dataset)), problems, quiet)
    _print_result(out, png, shown, problems, as_json)
    raise typer.Exit(FAILURES if problems.damaged or problems.unreadable or problems.changed else 0)


def _check_outputs(out: Path, png: Path | None, overwrite: bool) -> None:
    from augsal_transforms.gallery.canvas import GALLERY, is_figure
    from augsal_transforms.gallery.page import is_page

    check_outputs_apart(out=out, png=png)
    check_output(out, "--out", endings=_ENDINGS, overwrite=overwrite, is_own=is_page)
    if png:
        check_output(png, "--png", endings=FIGURES, overwrite=overwrite, is_own=partial(is_figure, command=GALLERY))
        check_library("matplotlib", "--png")


def _open_unmapped(data: Path, split: str, layout: str, predictor: str | None, device: str) -> SaliencyFolder:
    from augsal_transforms.evaluation.models import load_predictor
    from augsal_transforms.generate.predicted_maps import open_unmapped

    return open_unmapped(data, split, layout, partial(load_predictor, predictor or PREDICTOR, device))


def _read(store: Path, dataset: SaliencyFolder, problems: Problems) -> StoredImages:
    from augsal_transforms import EditStore
    from augsal_transforms.gallery.shown import StoredImages

    return StoredImages(EditStore(store, readonly=True), dataset, problems)


def _render(
    editor: str,
    device: str,
    dataset: SaliencyFolder,
    kinds: str,
    problems: Problems,
    store: Path | None,
    strengths: int,
    seed: int,
) -> RenderedImages:
    from augsal_transforms import EditStore, SaliencyEditor
    from augsal_transforms.gallery.shown import RenderedImages

    edits, opened = parse_edits(kinds), EditStore(store, readonly=True) if store else None
    check_editor(editor)
    model = SaliencyEditor.from_pretrained(editor, device=device)
    return RenderedImages(model, dataset, edits, problems, store=opened, strengths=strengths, seed=seed)


def _load_predictor(name: str | None, device: str) -> PredictsSaliency | None:
    from augsal_transforms.evaluation.models import load_predictor

    if name is None:
        return None
    try:
        return load_predictor(name, device)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"--predictor: {error}") from error


def _write(
    images: Iterable[ShownImage],
    predictor: PredictsSaliency | None,
    out: Path,
    png: Path | None,
    title: str,
    total: int,
    problems: Problems,
    quiet: bool,
) -> dict[str, int]:
    """Make the page and the figure; returns how much they show."""
    import torch

    from augsal_transforms.gallery.cards import to_cards
    from augsal_transforms.gallery.figure import draw_gallery, to_row
    from augsal_transforms.gallery.page import render

    cards, rows = [], []
    made = to_cards(images, predictor, threads=torch.get_num_threads())
    for shown, card in bars(quiet, "image")(made, total=total):
        cards.append(card)
        if png:
            rows.append(to_row(shown))
    if not cards:
        raise ValueError("\n  ".join(["there is no edit of these images to show.", *_notes(problems)]))
    page = render(cards, source=title, notes=_notes(problems))
    write_file(out, page)
    if png:
        draw_gallery(rows, png)
    return {"images": len(cards), "edits": sum(len(card.steps) for card in cards), "bytes": len(page)}


def _notes(problems: Problems) -> list[str]:
    """A sentence for each kind of problem, with examples."""
    counted = {
        "damaged record(s), which `augsal verify --repair` deletes": problems.damaged,
        "image(s) that cannot be read or edited": problems.unreadable,
        "image(s) whose pixels are not those that were edited": problems.changed,
    }
    notes = [
        f"{len(found):,} {what}: {', '.join(found[:_NAMED])}{' …' if len(found) > _NAMED else ''}"
        for what, found in counted.items()
        if found
    ]
    if problems.elsewhere:
        example = f", such as {problems.example}" if problems.example else ""
        notes.append(f"{problems.elsewhere:,} image(s) of the store have no image of their name in --data{example}")
    return notes


def _print_result(out: Path, png: Path | None, shown: dict[str, int], problems: Problems, as_json: bool) -> None:
    if as_json:
        files = {"out": str(out), "png": str(png) if png else None}
        typer.echo(json.dumps({**shown, **vars(problems), **files}))
        return
    typer.echo(f"{shown['edits']:,} edits of {shown['images']:,} images, {as_size(shown['bytes'])}")
    for note in _notes(problems):
        typer.echo(f"  {note}")
    typer.echo(" ".join(str(path) for path in (out, png) if path))

"""`augsal explain`: how the region of one image was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.edits import find_map
from augsal_transforms.cli.options import DEVICE, EDITOR, AsJson, Device, Editor, Overwrite
from augsal_transforms.cli.outputs import FIGURES, check_output
from augsal_transforms.cli.preflight import check_device, check_editor, check_library

if TYPE_CHECKING:
    from torch import Tensor

    from augsal_transforms.gallery.explain import Explanation


ImageFile = Annotated[Path, typer.Argument(help="The image file.")]
FigureFile = Annotated[Path, typer.Option(help="The figure: .png, .pdf or .svg.")]
Caption = Annotated[str, typer.Option(help="The image's caption.")]
MapFile = Annotated[Path | None, typer.Option(help="Its saliency map, of any size; brighter is more salient.")]
Predictor = Annotated[
    str | None, typer.Option(help="Predictor of the map, in place of a file: photographs, bundled, or a folder.")
]


def explain(
    image: ImageFile,
    out: FigureFile,
    prompt: Caption = "",
    saliency_map: MapFile = None,
    predictor: Predictor = None,
    editor: Editor = EDITOR,
    device: Device = DEVICE,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Draw how a region is found: the attention C of every word, C × S, the selected word, the mask (Fig. 3)."""
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.gallery.explain import explain as explain_region
    from augsal_transforms.gallery.explain_figure import draw_explanation

    if (saliency_map is None) == (predictor is None):
        raise ValueError("give either --saliency-map, a file, or --predictor, which predicts one.")
    inputs = [path for path in (image, saliency_map) if path]
    check_output(out, "--out", inputs=inputs, endings=FIGURES, overwrite=overwrite)
    check_library("matplotlib", "`augsal explain`")
    place = check_device(device)
    original = _read(image)
    check_editor(editor)
    model = SaliencyEditor.from_pretrained(editor, device=place)
    target = find_map(original, saliency_map, str(predictor), place)
    found = explain_region(model, model.analyse([original], [target], [prompt], seed=seed)[0])
    title = "saliency map S" if saliency_map else "saliency map S, predicted"
    draw_explanation(found, out, title)
    _print_words(found, out, as_json)


def _read(image: Path) -> Tensor:
    from torch import Tensor

    from augsal_transforms.data.images import read_image, to_rgb_image

    pixels: Tensor = to_rgb_image(read_image(image)).as_subclass(Tensor)
    return pixels


def _print_words(found: Explanation, out: Path, as_json: bool) -> None:
    if as_json:
        words = [{"word": word.text, "state": word.state, "score": word.score} for word in found.words]
        selected = next((word.text for word in found.words if word.state == "selected"), None)
        typer.echo(json.dumps({"word": selected, "words": words, "cut_off": found.cut_off, "out": str(out)}))
        return
    for word in found.words:
        share = "" if word.state == "skipped" else f" {found.share(word):.2f}"
        typer.echo(f"  {word.text:20.40s} {word.state}{share}")
    typer.echo(found.summary)
    typer.echo(f"{out}")

"""`augsal edit` and `augsal calibrate`: one image, and a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augsal_transforms.cli.errors import FAILURES
from augsal_transforms.cli.gates import PREDICTOR, Margin, Raise, check_gate, open_gate, usual_edits
from augsal_transforms.cli.kinds import parse_edits
from augsal_transforms.cli.options import DEVICE, EDITOR, AsJson, Device, Editor, Overwrite
from augsal_transforms.cli.outputs import (
    PICTURES,
    check_files_in,
    check_output,
    check_outputs_apart,
    write_picture,
)
from augsal_transforms.cli.preflight import check_device, check_editor
from augsal_transforms.cli.progress import Quiet, bars

if TYPE_CHECKING:
    from torch import Tensor

    from augsal_transforms import EditedImage, SaliencyEditor
    from augsal_transforms.editor.edits import Edit


ImageFile = Annotated[Path, typer.Argument(help="The image file.")]
MapFile = Annotated[
    Path | None, typer.Option(help="Its saliency map, of any size; brighter is more salient.  [default: predicted]")
]
PredictorName = Annotated[
    str | None,
    typer.Option(
        help="Predictor of the map and of --raise-saliency: photographs, bundled or a folder of readouts.  "
        "[default: photographs]"
    ),
]
EditedFile = Annotated[Path, typer.Option(help="The edited image; PNG keeps pixels outside the mask exact.")]
Caption = Annotated[str, typer.Option(help="Its caption. Without one the region is the saliency map's.")]
Kind = Annotated[str, typer.Option(help="One of {kinds}, or MODULE:KIND.")]
Alpha = Annotated[
    float | None, typer.Option(help="α, the editing strength asked for; without it, drawn from the kind's range.")
]
ColorName = Annotated[str | None, typer.Option(help="Target of a colour edit: {colors}.  [default: red]")]


def edit(
    image: ImageFile,
    out: EditedFile,
    saliency_map: MapFile = None,
    predictor: PredictorName = None,
    prompt: Caption = "",
    kind: Kind = "contrast",
    alpha: Alpha = None,
    color: ColorName = None,
    raise_saliency: Raise = "",
    margin: Margin = 0.0,
    editor: Editor = EDITOR,
    device: Device = DEVICE,
    seed: Annotated[int, typer.Option(help="Seed of the draws and the noise.")] = 0,
    mask_out: Annotated[Path | None, typer.Option(help="The edit mask, as an 8-bit image.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Edit one image in the region where its caption and its saliency map meet.

    Without a map, a predictor of people's gaze gives one. Exit code 3, and no file, if nothing could be edited.
    """
    from torch import Tensor
    from torchvision.transforms.v2.functional import to_pil_image

    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.images import read_image, to_rgb_image

    if saliency_map and predictor and not raise_saliency:
        raise ValueError("--predictor is for --raise-saliency, or an image without --saliency-map. Leave one out.")
    wanted = _parse_edit(kind, alpha, color, usual_edits(raise_saliency) if raise_saliency else ())
    gate = check_gate(raise_saliency, predictor or PREDICTOR, margin, predict_maps=saliency_map is None)
    check_outputs_apart(out=out, mask_out=mask_out)
    inputs = [image, saliency_map] if saliency_map else [image]
    for option, path in (("--out", out), ("--mask-out", mask_out)):
        if path:
            check_output(path, option, inputs=inputs, endings=PICTURES, overwrite=overwrite)
    place = check_device(device)
    original = to_rgb_image(read_image(image)).as_subclass(Tensor)
    check_editor(editor)
    target = find_map(original, saliency_map, predictor or PREDICTOR, place)
    model = SaliencyEditor.from_pretrained(editor, device=place)
    result = model.edit([original], [target], [prompt], [[wanted]], seed=seed, saliency_gate=open_gate(gate, place))[0]
    if as_json:
        hidden = ("image", "edit_mask", "region")
        metadata = {key: value for key, value in asdict(result).items() if key not in hidden}
        typer.echo(json.dumps({**metadata, "editor": editor}))
    if reason := _why_unedited(result, original, target):
        typer.echo(f"augsal: nothing was edited: {reason} Nothing was written.", err=True)
        raise typer.Exit(FAILURES)
    write_picture(out, to_pil_image(result.image))
    if mask_out:
        write_picture(mask_out, to_pil_image(result.edit_mask))
    _warn_of_unknown_word(model, result.word)
    if not as_json:
        _print_edit(result, f"editor {editor} on {place}")
        typer.echo(" ".join(str(path) for path in (out, mask_out) if path))


def find_map(image: Tensor, saliency_map: Path | None, predictor: str, device: str) -> Tensor:
    """The map (1, H, W) of an image (3, H, W): the file's, resized to the image, or else the predictor's."""
    from torch import Tensor

    from augsal_transforms.data.images import read_image, to_saliency_map
    from augsal_transforms.evaluation.models import load_predictor

    if saliency_map is None:
        return load_predictor(predictor, device).predict([image])[0]
    resized: Tensor = to_saliency_map(read_image(saliency_map), (image.shape[-2], image.shape[-1])).as_subclass(Tensor)
    return resized


def _parse_edit(kind: str, alpha: float | None, color: str | None, usual: Sequence[Edit] = ()) -> Edit:
    """The one edit that ``--kind``, ``--alpha`` and ``--color`` name; ``usual`` is for kinds alone."""
    text, inline, _ = kind.partition("=")  # --kind color=blue:0.5 has its value in place
    name = text.rpartition(":")[2]
    if color is not None and name != "color":
        raise ValueError(f"--color is the target of --kind color, and --kind is {kind!r}. Leave --color out.")
    value = None if alpha is None else f"{alpha!r}"
    if name == "color" and not ((inline or usual) and color is value is None):
        value = ":".join(part for part in (color or "red", value) if part)
    edits = parse_edits(kind, "--kind", {name: value}, "--alpha" if color is None else "--color, --alpha", usual)
    if len(edits) != 1:
        raise ValueError(f"--kind must be one kind of edit, got {kind!r}. `augsal generate` makes several.")
    return edits[0]


def _why_unedited(result: EditedImage, original: Tensor, saliency_map: Tensor) -> str:
    """Why the result equals the original, as a sentence; "" where it does not."""
    if not (result.image == original).all():
        return ""
    if not saliency_map.any():
        return "the saliency map is 0 everywhere."
    if not result.is_edited:
        if result.tried:
            return (
                f"none of the {len(result.tried)} candidates raises the predicted saliency of its region by more than "
                "--margin. Try another --kind or --seed."
            )
        if not result.bound_by:
            return f"α = {result.alpha:g} changes nothing."
        return "no word's attention meets the saliency map. Try --prompt with a word for what is salient, or without."
    if result.strength == 0:
        return f"the bound of {result.bound_by} allows no part of it. Try another --kind or --alpha."
    return f"α = {result.alpha:g} is too weak to change an 8-bit value. Try a stronger --alpha."


def _warn_of_unknown_word(model: SaliencyEditor, word: str | None) -> None:
    """Say so where the bundled editor never saw the word, which its tokenizer then takes in pieces."""
    parts = model.model.locate_words(re.sub(r"\W+|'s\b", " ", word or ""), keep_stopwords=True)  # of red-ball, ball's
    if model.name == "bundled" and any(len(part.tokens) > 1 for part in parts):
        typer.echo(
            f"augsal: the bundled editor knows the words of rendered scenes, and {word!r} is none of them, so its "
            "region is a guess. Use --editor sd-v1-5 for captions of photographs.",
            err=True,
        )


def _print_edit(result: EditedImage, editor: str) -> None:
    where = f"the region of {result.word!r}" if result.word else "the saliency map's region"
    share = (result.edit_mask > 0).float().mean().item()
    kind = f"{result.kind} {result.color}".strip()
    typer.echo(f"{kind} α = {result.alpha:g} in {where} ({share:.0%} of the image), {editor}")
    bound = f", bound by {result.bound_by}" if result.bound_by else ""
    typer.echo(f"  strength reached {result.strength:.2f} of 1{bound}")
    if result.tried:
        typer.echo(f"  predicted gaze in the region {result.rise:+.1%}, chosen of {len(result.tried)} tried")
    typer.echo("  properties of the region, each in [0, 1], before → after:")
    for name, before in result.properties_before.items():
        typer.echo(f"  {name:16s} {before:.3f} → {result.properties_after[name]:.3f}")


def calibrate(
    data: Annotated[Path, typer.Option(help="A data set, or a folder of images; 200 images or more are best.")],
    editor: Editor = EDITOR,
    device: Device = DEVICE,
    limit: Annotated[int, typer.Option(min=1, help="Number of images that are used, from the first on.")] = 200,
    out: Annotated[Path | None, typer.Option(help="A folder for the result.  [default: beside the model]")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure A, γ, the gain through the whole path and the two-sigma bounds of a model on images."""
    from torch import Tensor

    from augsal_transforms import Calibration, SaliencyEditor
    from augsal_transforms import calibrate as measure
    from augsal_transforms.data.images import read_image, to_rgb_image
    from augsal_transforms.data.layouts import images_of
    from augsal_transforms.diffusion.calibration import DESCRIPTION, WEIGHTS
    from augsal_transforms.diffusion.hub import locate_model

    if editor == "bundled" and out is None:
        raise ValueError("--out must be given for 'bundled', because an installed package is not written to.")
    place = check_device(device)
    paths = images_of(data)[:limit]
    if len(paths) < 32:
        raise ValueError(f"--data and --limit must give 32 images or more, 200 are better, got {len(paths)} in {data}.")
    check_editor(editor)
    folder = out or locate_model(editor)
    check_files_in(folder, (WEIGHTS, DESCRIPTION), "--out", overwrite=overwrite)
    model = SaliencyEditor.from_pretrained(editor, device=place, calibration=Calibration.published())
    images = [to_rgb_image(read_image(path)).as_subclass(Tensor) for path in paths]
    calibration = measure(model, images, progress=bars(quiet, "image"))
    _print_calibration(calibration, editor, folder, as_json)
    folder.mkdir(parents=True, exist_ok=True)
    calibration.save(folder, model.model.folder)


def _print_calibration(calibration: Any, editor: str, folder: Path, as_json: bool) -> None:
    from augsal_transforms.photometry import PROPERTIES

    gamma = calibration.gamma.tolist()
    bounds = {name: 2 * std for name, std in zip(PROPERTIES, calibration.std.tolist(), strict=True)}
    if as_json:
        found = {"editor": editor, "source": calibration.source, "gamma": gamma, "bounds": bounds, "out": str(folder)}
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{editor}: {calibration.source}; γ = {', '.join(f'{value:.4f}' for value in gamma)}")
    for name, bound in bounds.items():
        typer.echo(f"  {name:16s} may move by {bound:.3f}")
    typer.echo(f"{folder}")

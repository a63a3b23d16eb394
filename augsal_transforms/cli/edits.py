"""`augsal edit` and `augsal calibrate`: one image, and a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from augsal_transforms.cli.errors import usage_errors


def edit(
    image: Annotated[Path, typer.Argument(help="The photograph.")],
    saliency_map: Annotated[Path, typer.Option(help="Its saliency map, any size; brighter is more salient.")],
    out: Annotated[Path, typer.Option(help="Where the edited image goes; PNG keeps untouched pixels exact.")],
    prompt: Annotated[str, typer.Option(help="Its caption; without one the map alone is the region.")] = "",
    kind: Annotated[str, typer.Option(help="contrast, brightness or color.")] = "contrast",
    alpha: Annotated[
        float | None, typer.Option(help="Editing strength; drawn from the default range if not given.")
    ] = None,
    color: Annotated[str, typer.Option(help="Target of a colour edit.")] = "red",
    editor: Annotated[str, typer.Option(help="bundled, sd-v1-5, a folder or a hub id.")] = "bundled",
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    seed: Annotated[int, typer.Option()] = 0,
    mask_out: Annotated[Path | None, typer.Option(help="Where the edit mask goes, as an 8-bit PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metadata of the edit as JSON.")] = False,
) -> None:
    """Edit one image in the region where its caption and its saliency map meet."""
    from torch import Tensor
    from torchvision.transforms.v2.functional import to_pil_image

    from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
    from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map

    with usage_errors():
        strength: dict[str, Any] = {} if alpha is None else {"alpha": alpha}
        makers: dict[str, Any] = {"contrast": Contrast, "brightness": Brightness, "color": Color}
        if kind not in makers:
            raise ValueError(f"--kind must be one of {', '.join(makers)}, got {kind!r}.")
        wanted = makers[kind](color, **strength) if kind == "color" else makers[kind](**strength)
        picture = to_rgb_image(read_image(image)).as_subclass(Tensor)
        field = to_saliency_map(read_image(saliency_map), (picture.shape[-2], picture.shape[-1])).as_subclass(Tensor)
        model = SaliencyEditor.from_pretrained(editor, device=device)
        result = model.edit([picture], [field], [prompt], [wanted], seed=seed)[0]
        to_pil_image(result.image).save(out)
        if mask_out:
            to_pil_image(result.edit_mask).save(mask_out)
    metadata = {key: value for key, value in asdict(result).items() if key not in ("image", "edit_mask", "region")}
    if as_json:
        typer.echo(json.dumps(metadata))
        return
    where = f"the region of {result.word!r}" if result.word else "the saliency map's region"
    bound = f", bound by {result.bound_by}" if result.bound_by else ""
    share = (result.edit_mask > 0).float().mean().item()
    typer.echo(
        f"{kind} α = {result.alpha:g} in {where} ({share:.0%} of the image), strength {result.strength:.2f}{bound}"
    )
    for name, before in result.properties_before.items():
        typer.echo(f"  {name:16s} {before:.3f} → {result.properties_after[name]:.3f}")
    typer.echo(f"{out}")


def calibrate(
    data: Annotated[Path, typer.Option(help="A folder of images, searched below; 200 or more are best.")],
    editor: Annotated[str, typer.Option(help="bundled, sd-v1-5, a folder or a hub id.")] = "sd-v1-5",
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    limit: Annotated[int, typer.Option(help="Use the first so many images.")] = 200,
    out: Annotated[Path | None, typer.Option(help="A folder for the result; beside the model if not given.")] = None,
) -> None:
    """Measure A, γ, the gain through the whole path and the two-sigma bounds of a model on images."""
    from torch import Tensor

    from augsal_transforms import Calibration, SaliencyEditor
    from augsal_transforms import calibrate as measure
    from augsal_transforms.data.images import read_image, to_rgb_image
    from augsal_transforms.data.layouts import images_of
    from augsal_transforms.photometry import PROPERTIES

    with usage_errors():
        paths = images_of(data)[:limit]
        if editor == "bundled" and out is None:
            raise ValueError("--out must be given for 'bundled': what is installed is not written to.")
        model = SaliencyEditor.from_pretrained(editor, device=device, calibration=Calibration.published())
        images = [to_rgb_image(read_image(path)).as_subclass(Tensor) for path in paths]
        calibration = measure(model, images)
        folder = out or model.model.folder
        folder.mkdir(parents=True, exist_ok=True)
        calibration.save(folder, model.model.folder)
    typer.echo(f"{calibration.source}; γ = {', '.join(f'{g:.4f}' for g in calibration.gamma.tolist())}")
    for name, deviation in zip(PROPERTIES, calibration.std.tolist(), strict=True):
        typer.echo(f"  {name:16s} may move by {2 * deviation:.3f}")
    typer.echo(f"{folder}")

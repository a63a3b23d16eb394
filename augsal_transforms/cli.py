"""`augsal`: edits, calibration and readouts at the shell. Commands import what they need when they run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Saliency-guided diffusion edits (Aydemir et al., ECCV 2024).", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Saliency-guided diffusion edits (Aydemir et al., ECCV 2024)."""


@app.command()
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the account of the edit as JSON.")] = False,
) -> None:
    """Edit one image in the region where its caption and its saliency map meet."""
    from torch import Tensor
    from torchvision.transforms.v2.functional import to_pil_image

    from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor
    from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map

    with _usage_errors():
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
    account = {key: value for key, value in asdict(result).items() if key not in ("image", "edit_mask", "region")}
    if as_json:
        typer.echo(json.dumps(account))
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


@app.command()
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
    from augsal_transforms.data.folders import list_images
    from augsal_transforms.data.images import read_image, to_rgb_image
    from augsal_transforms.photometry import PROPERTIES

    with _usage_errors():
        paths = list_images(data)[:limit]
        if editor == "bundled" and out is None:
            raise ValueError("--out must be given for 'bundled': what is installed is not written to.")
        model = SaliencyEditor.from_pretrained(editor, device=device, calibration=Calibration.published())
        images = [to_rgb_image(read_image(path)).as_subclass(Tensor) for path in paths]
        calibration = measure(model, images)
        folder = out or model.model.folder
        folder.mkdir(parents=True, exist_ok=True)
        calibration.save(folder, model.model.folder)
    typer.echo(f"{calibration.source}; γ = {', '.join(f'{g:.4f}' for g in calibration.gamma.tolist())}")
    for name, deviation in zip(PROPERTIES, calibration.deviations.tolist(), strict=True):
        typer.echo(f"  {name:16s} may move by {2 * deviation:.3f}")
    typer.echo(f"{folder}")


@app.command()
def scenes(
    out: Annotated[Path, typer.Option(help="The folder to write, in SALICON's layout.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 100,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    seed: Annotated[int, typer.Option(help="The series; the bundled editor was trained on series 1.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 128,
) -> None:
    """Render procedural scenes with captions, objects, fixations and saliency maps of a synthetic observer."""
    from augsal_transforms.data.coco import write_scenes

    with _usage_errors():
        write_scenes(out, count, split=split, seed=seed, size=size)
    typer.echo(f"{count} scenes in {out}")


@app.command("train-readouts")
def train_readouts(
    out: Annotated[Path, typer.Option(help="The folder for the readouts; checkpoint and metrics go there too.")],
    data: Annotated[Path | None, typer.Option(help="SALICON's layout with COCO's annotations; see README.")] = None,
    scenes: Annotated[int, typer.Option(help="Without --data: render so many scenes of series 1 into OUT.")] = 6144,
    editor: Annotated[str, typer.Option(help="bundled, sd-v1-5, a folder or a hub id.")] = "bundled",
    width: Annotated[int, typer.Option(help="C; 64 bundled, 384 the paper's.")] = 128,
    readout_steps: Annotated[int, typer.Option(help="Iterations of Eq. 3 (Sec. 5.1).")] = 20_000,
    saliency_steps: Annotated[int, typer.Option(help="Iterations of Eq. 4 (Sec. 5.1).")] = 22_000,
    batch_size: Annotated[int, typer.Option(help="Images a step, over all processes.")] = 16,
    feature_rate: Annotated[float, typer.Option(help="Learning rate of the feature extractors.")] = 5e-5,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the heads.")] = 1e-4,
    cosine: Annotated[bool, typer.Option("--cosine", help="Let both rates fall along a cosine.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Train SR on edited images too (Eq. 7).")] = False,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …; under torchrun each process takes its own GPU.")] = "cpu",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train the readouts of an editor, a saliency model among them; run it again to go on, or under torchrun."""
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.data.annotated import AnnotatedFolder
    from augsal_transforms.readouts.launch import one_of_several, render_once
    from augsal_transforms.readouts.samples import TrainingConfig
    from augsal_transforms.readouts.training import ReadoutTraining

    with _usage_errors(), one_of_several(device) as (place, rank, wait):
        out.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the others find the scenes and the index written
            folder = data or render_once(out / "scenes", scenes)
            AnnotatedFolder(folder, index=out / "index.json")
        wait()
        dataset = AnnotatedFolder(data or out / "scenes", index=out / "index.json")
        config = TrainingConfig(
            readout_steps=readout_steps,
            saliency_steps=saliency_steps,
            batch_size=batch_size,
            feature_rate=feature_rate,
            head_rate=head_rate,
            workers=workers,
            seed=seed,
            schedule="cosine" if cosine else "constant",
            augment=0.5 if augment else 0.0,
        )
        model = SaliencyEditor.from_pretrained(editor, device=place)
        classes = dataset.classes or ("object",)  # without boxes HLFR is not trained, and has nothing to tell
        predictor = ReadoutTraining(model, dataset, classes, config, width=width, folder=out).run()
        if rank == 0:
            predictor.save(out)
            typer.echo(f"{out}")


class _usage_errors:  # noqa: N801 - reads as a verb at its only use
    """Print the library's errors as one line and exit with 2, as click does for its own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (ValueError, TypeError, OSError, RuntimeError)) and not isinstance(error, typer.Exit):
            typer.echo(f"augsal: {error}", err=True)
            raise typer.Exit(2) from error

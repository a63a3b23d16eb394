"""`augsal evaluate`: metrics over a data set."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.errors import FAILURES, user_code
from augsal_transforms.cli.options import DEVICE, AsJson, Data, Device, LayoutName, Overwrite, Sigma, Workers
from augsal_transforms.cli.outputs import check_output, write_text
from augsal_transforms.cli.preflight import check_device
from augsal_transforms.cli.progress import Quiet, bars

if TYPE_CHECKING:
    from torch import Tensor

    from augsal_transforms.data.fixations import FixatedFolder
    from augsal_transforms.evaluation.models import Model, Predict

Predictions = Annotated[Path | None, typer.Option(help="A folder of predicted maps, named as the images.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        help="photographs, bundled, a folder of readouts, module:function from image (3, H, W) to map (1, h, w), or "
        "module:object with a method predict."
    ),
]
PresetName = Annotated[str, typer.Option(help="Whose definitions of the metrics: {presets}.")]
SplitOrVal = Annotated[str | None, typer.Option(help="train or val.  [default: val where there is one]")]
Edition = Annotated[str, typer.Option(help="The data's edition, printed with the result: 2015, 2017.")]
FixationFrame = Annotated[
    str, typer.Option(help="For fixations recorded in a frame of another size than the image: refuse, or scale.")
]


def evaluate(
    data: Data,
    pred: Predictions = None,
    model: ModelName = None,
    preset: PresetName = "tuebingen",
    split: SplitOrVal = None,
    layout: LayoutName = "auto",
    edition: Edition = "not given",
    fixation_frame: FixationFrame = "refuse",
    sigma: Sigma = None,
    device: Device = DEVICE,
    workers: Workers = 1,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the numbers of every image.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score predictions, or a model's, against saliency maps and fixations.

    Each number has its definition beside it. Exit code 3 if images could not be read; 1, with a traceback, if your
    own model raises an exception.
    """
    from augsal_transforms.evaluation.evaluate import evaluate as score
    from augsal_transforms.metrics.presets import find_preset

    find_preset(preset)
    if (pred is None) == (model is None):
        raise ValueError("give either --pred, a folder of maps, or --model.")
    if out:
        check_output(out, "--out", overwrite=overwrite, is_own=_is_evaluation)
    dataset = _open(data, split, layout, fixation_frame, sigma)
    result = score(
        _find_predictions(pred, model, device, dataset),
        dataset,
        preset=preset,
        predictions=str(pred or model),
        data=f"{data} ({dataset.split})",
        edition=edition,
        progress=bars(quiet, "image"),
        workers=workers,
    )
    typer.echo(result.to_json() if as_json else result.table())
    if out:
        write_text(out, result.to_json())
        typer.echo(f"{out}", err=as_json)
    if result.failures:
        raise typer.Exit(FAILURES)


def _open(data: Path, split: str | None, layout: str, frame: str, sigma: float | None) -> FixatedFolder:
    """The data set, with an error at once if its fixations need a library that is missing."""
    from augsal_transforms.data.fixations import FixatedFolder
    from augsal_transforms.data.layouts import find_layout
    from augsal_transforms.data.recorded import FRAMES
    from augsal_transforms.data.splits import evaluation_split

    if frame not in FRAMES:
        raise ValueError(f"--fixation-frame must be {' or '.join(FRAMES)}, got {frame!r}.")
    split = split or evaluation_split(data, layout)
    found = find_layout(data, split, layout)
    dataset = FixatedFolder(data, split, captions={}, frame=frame, sigma=sigma, layout=found)
    with suppress(ValueError):  # a damaged file is found again, and named, when its image is scored
        dataset.fixations(dataset.names[0])
    return dataset


def _is_evaluation(path: Path) -> bool:
    """Whether a file is what ``--out`` writes."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(table, dict) and {"predictions", "preset", "metrics", "images"} <= table.keys()


def _find_predictions(pred: Path | None, model: str | None, device: str, dataset: FixatedFolder) -> Predict:
    from augsal_transforms.evaluation.models import load_model, read_predictions, run_model

    if pred is not None:
        return read_predictions(pred, dataset.names)
    name, place = str(model), check_device(device)
    if ":" not in name or Path(name).is_dir():
        return run_model(load_model(name, place))
    sys.path.insert(0, "")  # as `python -m` has it: modules are found in the current folder
    module = name.partition(":")[0]
    try:
        with user_code():
            import_module(module)
    except Exception as error:
        if not isinstance(error.__cause__, ModuleNotFoundError) or error.__cause__.name != module.split(".")[0]:
            raise
    return run_model(_mark_errors(load_model(name, place)))


def _mark_errors(model: Model) -> Model:
    def call(image: Tensor) -> Tensor:
        with user_code():
            return model(image)

    return call

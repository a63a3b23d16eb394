"""`augsal evaluate`: metrics over a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import usage_errors


def evaluate(
    data: Annotated[Path, typer.Option(help="A folder in SALICON's layout, with fixations; see README.")],
    pred: Annotated[Path | None, typer.Option(help="A folder of predicted maps, named as the images.")] = None,
    model: Annotated[
        str | None, typer.Option(help="bundled, a folder of readouts, or module:function, image to map.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Whose definitions: tuebingen, salicon, mit_matlab, augsal.")] = (
        "tuebingen"
    ),
    split: Annotated[str | None, typer.Option(help="train or val; val where there is one.")] = None,
    edition: Annotated[str, typer.Option(help="Of the data, as 2015 or 2017 for SALICON; is printed.")] = "not given",
    device: Annotated[str, typer.Option(help="Where a model runs: cpu, cuda, …")] = "cpu",
    json: Annotated[Path | None, typer.Option(help="Where every image's numbers go too.")] = None,
) -> None:
    """Score predictions, or a model's, against saliency maps and fixations; each number with its definition."""
    import sys

    from tqdm import tqdm

    from augsal_transforms.data.fixations import FixatedFolder
    from augsal_transforms.evaluation.evaluate import evaluate as score
    from augsal_transforms.evaluation.models import load_model, read_predictions, run_model
    from augsal_transforms.metrics.presets import find_preset

    with usage_errors():
        find_preset(preset)
        if (pred is None) == (model is None):
            raise ValueError("give either --pred, a folder of maps, or --model.")
        dataset = FixatedFolder(data, split or ("val" if (data / "maps" / "val").is_dir() else "train"), captions={})
        if pred is not None:
            predict = read_predictions(pred, dataset.names)
        else:
            sys.path.insert(0, "")  # as `python -m` has it: functions are found in the current folder
            predict = run_model(load_model(str(model), device))
        result = score(
            predict,
            dataset,
            preset=preset,
            predictions=str(pred or model),
            data=f"{data} ({dataset.split})",
            edition=edition,
            progress=lambda names: tqdm(names, disable=None),
        )
        if json:
            json.write_text(result.to_json())
    typer.echo(result.table())

"""`augsal stimuli` and `augsal shift`: a study of where people look after an edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.errors import usage_errors

if TYPE_CHECKING:
    from augsal_transforms.gaze_study.report import ShiftStudy


def stimuli(
    store: Annotated[Path, typer.Option(help="The store's folder; every strength that it holds is shown.")],
    data: Annotated[Path, typer.Option(help="The data set whose edits it holds.")],
    out: Annotated[Path, typer.Option(help="The study's folder: images, masks and edits.csv.")],
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    layout: Annotated[str, typer.Option(help="salicon, mit1003, cat2000 or plain; auto recognises them.")] = "auto",
    count: Annotated[int, typer.Option(min=1, help="How many originals.")] = 50,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 0,
) -> None:
    """Write originals and edits of a store as the pictures of a study of people (Sec. 5.4)."""
    from augsal_transforms import EditStore
    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.gaze_study.stimuli import write_stimuli

    with usage_errors():
        dataset = open_layout(data, split, layout)
        edits = write_stimuli(EditStore(store, readonly=True), dataset, out, count=count, seed=seed)
    typer.echo(f"{edits:,} edits in {out}; show images, then write fixations.csv (image, x, y) beside edits.csv")


def shift(
    study: Annotated[
        Path | None, typer.Argument(help="A folder with edits.csv, masks, and fixations; see README.")
    ] = None,
    observer: Annotated[
        bool, typer.Option("--observer", help="No people: the synthetic observer, on edits of rendered scenes.")
    ] = False,
    scenes: Annotated[int, typer.Option(min=1, help="How many the observer looks at.")] = 50,
    plot: Annotated[Path | None, typer.Option(help="Where the change by strength is drawn: .png, .pdf, .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, every edit's change too.")] = False,
) -> None:
    """Compare fixations on edits and originals: paired t-test, effect size, change by strength (Sec. 5.4)."""
    from augsal_transforms.gaze_study.study import read_study

    with usage_errors():
        if (study is None) == (not observer):
            raise ValueError("give either a study's folder or --observer.")
        found = read_study(study) if study else _observe(scenes)
        typer.echo(found.to_json() if as_json else found.table())
        if plot:
            from augsal_transforms.gaze_study.report import draw_shift

            draw_shift(found, plot)


def _observe(scenes: int) -> ShiftStudy:
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.gaze_study.synthetic import observe_study

    return observe_study(SaliencyEditor.from_pretrained("bundled"), scenes=scenes)

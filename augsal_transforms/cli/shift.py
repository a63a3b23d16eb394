"""`augsal stimuli` and `augsal shift`: a study of where people look after an edit."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.options import AsJson, Data, LayoutName, Overwrite, Sigma, Split, Store
from augsal_transforms.cli.outputs import FIGURES, check_folder, check_output
from augsal_transforms.cli.preflight import check_library, check_mat_files
from augsal_transforms.cli.progress import Quiet, bars

if TYPE_CHECKING:
    from augsal_transforms.gaze_study.report import ShiftStudy


def stimuli(
    store: Store,
    data: Data,
    out: Annotated[Path, typer.Option(help="The study's folder, for images, masks and edits.csv.")],
    split: Split = "train",
    layout: LayoutName = "auto",
    count: Annotated[int, typer.Option(min=1, help="Number of originals.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the draw of originals.")] = 0,
    sigma: Sigma = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write originals of a data set and all their edits in a store as the images of a gaze study (Sec. 5.4)."""
    from augsal_transforms import EditStore
    from augsal_transforms.data.layouts import open_layout
    from augsal_transforms.gaze_study.stimuli import write_stimuli

    check_folder(out, "--out")
    dataset, progress = open_layout(data, split, layout, sigma), bars(quiet, "image")
    edits = write_stimuli(EditStore(store, readonly=True), dataset, out, count=count, seed=seed, progress=progress)
    if as_json:
        typer.echo(json.dumps({"edits": edits, "out": str(out)}))
        return
    typer.echo(f"{edits:,} edits in {out}")
    then = f"augsal shift {quote(str(out))}"
    typer.echo(f"Next: show {out / 'images'}, write {out / 'fixations.csv'} (image, x, y), then: {then}")


def shift(
    study: Annotated[Path | None, typer.Argument(help="A folder with edits.csv, masks and fixations.")] = None,
    observer: Annotated[
        bool, typer.Option("--observer", help="Study the synthetic observer on edits of rendered scenes.")
    ] = False,
    scenes: Annotated[int, typer.Option(min=1, help="Number of scenes for --observer.")] = 50,
    plot: Annotated[Path | None, typer.Option(help="A figure of the change by α: .png, .pdf or .svg.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare fixations on edits and originals: paired t-test, effect size, change by α (Sec. 5.4)."""
    from augsal_transforms.gaze_study.study import read_study

    if (study is None) == (not observer):
        raise ValueError("give either a study's folder or --observer.")
    check_library("scipy", "The t-test")
    if plot:
        check_output(plot, "--plot", endings=FIGURES, overwrite=overwrite)
        check_library("matplotlib", "--plot")
    if study:
        check_mat_files((study / "fixations").glob("*"))
    found = read_study(study, progress=bars(quiet, "image")) if study else _observe(scenes, quiet)
    typer.echo(found.to_json() if as_json else found.table())
    if plot:
        from augsal_transforms.gaze_study.report import draw_shift

        draw_shift(found, plot)
        typer.echo(f"{plot}", err=as_json)


def _observe(scenes: int, quiet: bool) -> ShiftStudy:
    from augsal_transforms import SaliencyEditor
    from augsal_transforms.gaze_study.synthetic import observe_study

    editor = SaliencyEditor.from_pretrained("bundled")
    return observe_study(editor, scenes=scenes, progress=bars(quiet, "batch"))

"""Options that several commands share: one name, one help text and one default each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EDITOR = "sd-v1-5"  # for photographs; of words, 'bundled' knows those of rendered scenes alone
DEVICE = "auto"

DataFolder = Annotated[Path, typer.Argument(help="The data set's folder.")]
Data = Annotated[Path, typer.Option(help="The data set's folder.")]
Store = Annotated[Path, typer.Option(help="The store's folder.")]
Split = Annotated[str, typer.Option(help="train or val. A data set without splits is all train.")]
LayoutName = Annotated[str, typer.Option(help="auto, or one of {layouts}.")]
Sigma = Annotated[
    float | None,
    typer.Option(
        help="Sigma in pixels of the Gaussian that makes maps from fixations, where a data set has no maps, as OSIE.  "
        "[default: one degree of visual angle]"
    ),
]
Editor = Annotated[
    str,
    typer.Option(
        help="sd-v1-5 (for photographs, 4 GB from the hub), bundled (small and offline; it knows the words of rendered "
        "scenes alone), the folder of a Stable Diffusion 1.x or 2.x pipeline, or a hub id."
    ),
]
Device = Annotated[str, typer.Option(help="auto (this process's GPU, or else the CPU), cpu, cuda, cuda:1 or mps.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the work; the result is the same.")]
CheckPixels = Annotated[bool, typer.Option("--check-pixels", help="Read also images whose files look unchanged.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads.  [default: OMP_NUM_THREADS, or the cores ÷ the processes that share them]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]

"""`augsal`: everything at the shell. Commands import what they need when they run."""

from __future__ import annotations

import typer

from augsal_transforms.cli.data import check_data, convert_fixations, index, scenes
from augsal_transforms.cli.doctor import doctor
from augsal_transforms.cli.edits import calibrate, edit
from augsal_transforms.cli.evaluate import evaluate
from augsal_transforms.cli.generate import generate
from augsal_transforms.cli.readouts import train_readouts
from augsal_transforms.cli.shift import shift, stimuli
from augsal_transforms.cli.store import gc, pack, stats, verify

app = typer.Typer(help="Saliency-guided diffusion edits (Aydemir et al., ECCV 2024).", no_args_is_help=True)
for command in (
    *(edit, calibrate, scenes, check_data, convert_fixations, index, generate, verify, stats, gc, pack),
    *(train_readouts, evaluate, stimuli, shift, doctor),
):
    app.command()(command)

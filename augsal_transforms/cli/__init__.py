"""The command line, ``augsal``. Commands import what they need when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from augsal_transforms.cli.data import check_data, convert_fixations, index, scenes
from augsal_transforms.cli.doctor import doctor
from augsal_transforms.cli.edits import calibrate, edit
from augsal_transforms.cli.errors import with_exit_codes
from augsal_transforms.cli.evaluate import evaluate
from augsal_transforms.cli.explain import explain
from augsal_transforms.cli.gallery import gallery
from augsal_transforms.cli.generate import generate
from augsal_transforms.cli.help import Command
from augsal_transforms.cli.readouts import train_readouts
from augsal_transforms.cli.shift import shift, stimuli
from augsal_transforms.cli.store import gc, pack, stats, verify
from augsal_transforms.cli.threads import on_its_cores

# Without markup: "[ray]" and "[viz]" are names of extras here.
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

_RESUMABLE = (generate, train_readouts, scenes)
_COMPUTING = (edit, explain, calibrate, gallery, train_readouts, shift)  # `generate` looks to it itself
for command in (
    *(
        edit,
        explain,
        calibrate,
        scenes,
        check_data,
        convert_fixations,
        index,
        generate,
        gallery,
        verify,
        stats,
        gc,
        pack,
    ),
    *(train_readouts, evaluate, stimuli, shift, doctor),
):
    first_line = (command.__doc__ or "").splitlines()[0]
    run = on_its_cores(command) if command in _COMPUTING else command
    app.command(cls=Command, short_help=first_line)(with_exit_codes(run, resumes=command in _RESUMABLE))


def _print_version(wanted: bool) -> None:
    if wanted:
        import augsal_transforms

        typer.echo(f"augsal-transforms {augsal_transforms.__version__}")
        raise typer.Exit


_CODES = "0 done, 1 an exception, 2 usage, 3 finished with failures, 4 the system (disk, memory), 130 stopped."


@app.callback(epilog=f"Exit codes: {_CODES}")
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Augment saliency data: edit the salient region that a caption names (Aydemir et al., ECCV 2024)."""

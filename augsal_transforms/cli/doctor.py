"""`augsal doctor`: what is installed and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augsal_transforms.cli.errors import UNFINISHED


def doctor(
    editor: Annotated[str | None, typer.Option(help="A model that must be on this disk.")] = None,
    store: Annotated[Path | None, typer.Option(help="A store's folder that must be writable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell versions, GPU, models on disk and space; never connects. Exit code 3 if what was asked for is missing."""
    from augsal_transforms.cli.examine import examine

    findings = examine(editor, store)
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{'missing: ' if finding.missing else ''}{finding.what:20s} {finding.found}")
    if any(finding.missing for finding in findings):
        raise typer.Exit(UNFINISHED)

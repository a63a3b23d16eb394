"""Run an upstream's script with an adapter around it, as ``python script.py …`` would."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from augsal_transforms.losses import MaskedEditingLoss

_CONVERSION = "conversion of log p to a map in [0, 1]"


def launch(
    upstream: str,
    augmented: Callable[..., AbstractContextManager[Any]],
    *,
    conversions: Sequence[str] = (),
    argv: Sequence[str] | None = None,
) -> None:
    """Run a script with an adapter around it; arguments: our options, ``--``, the script and its options.

    Args:
        upstream: Name of the upstream, for the help.
        augmented: The adapter; it is called with our options.
        conversions: Names of the conversions to choose from; empty where there is no choice.
        argv: Arguments in place of the process's.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser(upstream, conversions)
    options = vars(parser.parse_args(arguments[:split]))
    script = arguments[split + 1 :]
    if not script:
        parser.error("after `--` the upstream's script is missing, and its options: … -- train.py --lr 1e-4")
    if not Path(script[0]).is_file():
        parser.error(f"there is no script {script[0]!r} in {Path.cwd()}")
    options["editing"] = MaskedEditingLoss(options.pop("form"), options.pop("detach"))
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0] = script, str(Path(script[0]).resolve().parent)
    try:
        with augmented(**options):
            runpy.run_path(script[0], run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before


def _parser(upstream: str, conversions: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m augsal_transforms.adapters.{upstream}", usage="%(prog)s --store DIR [options] -- SCRIPT …"
    )
    parser.add_argument("--store", required=True, help="folder of edits, as `augsal generate` fills it")
    parser.add_argument("--p", type=float, default=0.5, help="chance that an image is edited")
    parser.add_argument("--editing-weight", type=float, default=0.1, help="weight of the editing loss")
    parser.add_argument("--form", choices=("bce", "released", "rank"), default="bce", help="form of the editing loss")
    parser.add_argument(
        "--detach",
        choices=("original", "edited", "none"),
        default="original",
        help="prediction that the editing loss holds constant",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws of edits")
    if conversions:
        parser.add_argument("--conversion", choices=conversions, default=conversions[0], help=_CONVERSION)
    return parser

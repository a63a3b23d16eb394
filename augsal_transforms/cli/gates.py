"""The options of `augsal generate` that keep an edit only where it raises the predicted saliency of its region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from augsal_transforms.cli.preflight import check_number

if TYPE_CHECKING:
    from augsal_transforms import SaliencyGate
    from augsal_transforms.editor.edits import Edit

PREDICTOR = "photographs"

Raise = Annotated[
    str,
    typer.Option(
        help="first or most: keep an edit only if it raises the predicted saliency of its region; of four candidates "
        "of each kind the first that does, or the one that does most.  [default: keep every edit]"
    ),
]
Predictor = Annotated[
    str,
    typer.Option(
        help="Predictor of --raise-saliency and --predict-maps: photographs, bundled (for rendered scenes) or a folder."
    ),
]
Margin = Annotated[float, typer.Option(help="Rise above which an edit is kept; 0.01 is 1 % more predicted gaze.")]

GateOptions = tuple[str, str, float] | None  # which candidate, the predictor, the margin


def check_gate(choose: str, predictor: str, margin: float, predict_maps: bool) -> GateOptions:
    """The options of a gate, checked; ``None`` without one. Maps may need the predictor too.

    Raises:
        ValueError: If one is out of its range, or given without ``--raise-saliency``.
    """
    if not choose:
        if margin != 0 or (predictor != PREDICTOR and not predict_maps):
            raise ValueError(
                "--margin goes with --raise-saliency, and --predictor with it or with --predict-maps: give that too."
            )
        return None
    check_number(margin, "--margin", least=0)
    if choose not in ("first", "most"):
        raise ValueError(f"--raise-saliency must be first or most, got {choose!r}.")
    return choose, predictor, margin


def usual_edits(choose: str) -> tuple[Edit, ...]:
    """The edits that kinds without a value stand for: milder ones where an edit must raise saliency."""
    from augsal_transforms.editor.edits import DEFAULT_EDITS, MILD_EDITS

    return MILD_EDITS if choose else DEFAULT_EDITS


def open_gate(options: GateOptions, device: str) -> SaliencyGate | None:
    """The gate with its predictor loaded; ``None`` without one."""
    from augsal_transforms import SaliencyGate, SaliencyPredictor

    if options is None:
        return None
    choose, name, margin = options
    predictor = SaliencyPredictor.from_pretrained(name, device=device)
    return SaliencyGate(predictor, choose="most" if choose == "most" else "first", margin=margin)

"""A fixation-shift study as a figure: the change of gaze by strength, with its interval."""

from __future__ import annotations

from pathlib import Path

from augsal_transforms.evaluation.shift_report import ShiftStudy


def draw_shift(study: ShiftStudy, path: Path) -> None:
    """Draw a line for each kind, each over its own α, on one scale of change.

    Raises:
        ImportError: Where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('The figure needs matplotlib: pip install "augsal-transforms[viz]".') from error
    kinds = {kind: found for kind, found in study.kinds.items() if found.levels}
    figure = Figure(figsize=(1 + 2.6 * len(kinds), 3.2), layout="constrained")
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for number, (axis, (kind, found)) in enumerate(zip(axes, kinds.items(), strict=True)):
        shift, places = found.shift, [(level.low + level.high) / 2 for level in found.levels]
        axis.axhline(0, color="0.6", linewidth=1)
        axis.errorbar(
            places,
            [at.mean for at in shift.by_strength],
            yerr=[at.reach for at in shift.by_strength],
            fmt="o-",
            color=f"C{number}",
            markersize=5,
            capsize=3,
            label=kind,
        )
        axis.set_xticks(places, [str(level) for level in found.levels])
        axis.margins(x=0.25)
        axis.set_title(f"{kind}, {shift.images} images\nt = {shift.t:.1f}, p = {shift.p:.1g}", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("change of gaze in the edited region", fontsize=9)
    figure.supxlabel("strength α (bars: 95 % intervals over images)", fontsize=9)
    figure.savefig(path, dpi=150)

"""The report of a fixation-shift study: a table, JSON and a figure, with the definition of each number."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from augsal_transforms.files import replacing
from augsal_transforms.gaze_study.shift import GazeChange, KindShift, compare_kinds

DEFINITIONS = {
    "change": "share of the gaze inside the edit mask over the mask's share of the image (1: gaze spread evenly), on "
    "the edited image minus on the original",
    "mean": "mean change over images; an image's change is its mean over α and, for 'all kinds', over kinds",
    "t, p": "Student's t of the images' changes, paired with their originals, and its two-sided p-value, not corrected "
    "for the number of kinds",
    "p rise": "one-sided p-value, against 'no rise'",
    "d": "Cohen's d of paired samples: mean change divided by the standard deviation of the images' changes",
    "undefined": "images left out: no fixation on the original or on any edit, or empty masks",
    "±": "half of the 95 % interval of a mean, over the images that have edits of this α",
}


@dataclass(frozen=True, kw_only=True)
class ShiftStudy:
    """The changes of gaze in a study.

    Attributes:
        source: Name of the study.
        changes: Change of gaze by each edit.
        fixations: Number of fixations used; 0 where gaze is an observer's density.
        outside: Number of fixations left out, outside their image or without coordinates.
        unseen: Names of the images without a fixation.
    """

    source: str
    changes: tuple[GazeChange, ...]
    fixations: int = 0
    outside: int = 0
    unseen: tuple[str, ...] = ()

    @cached_property
    def kinds(self) -> dict[str, KindShift]:
        """The shift of each kind of edit and of all kinds, as ``compare_kinds`` computes it."""
        return compare_kinds(self.changes)

    def table(self) -> str:
        """The test by kind, the means by α, and the definitions, as text."""
        lines = [self._heading(), f"{'kind':16s} images undefined    mean       t        p   p rise       d"]
        for kind, found in self.kinds.items():
            s = found.shift
            numbers = f"{s.mean:+7.3f} {s.t:7.2f} {s.p:8.2g} {s.p_rise:8.2g} {s.effect:+7.2f}"
            lines.append(f"{kind:16s} {s.images:6d} {s.undefined:9d} {numbers}")
        lines.append(f"{'kind, α':27s} images    mean ± 95 %")
        for kind, found in self.kinds.items():
            for span, at in zip(found.alpha_spans, found.shift.by_alpha, strict=True):
                ci95 = "" if math.isnan(at.ci95) else f" ± {at.ci95:.3f}"
                lines.append(f"{f'{kind} {span}':27s} {at.images:6d} {at.mean:+7.3f}{ci95}")
        return "\n".join([*lines, *(f"{name}: {definition}" for name, definition in DEFINITIONS.items())])

    def _heading(self) -> str:
        edits, images = len(self.changes), len({change.original for change in self.changes})
        heading = f"{self.source}: {edits:,} edits of {images:,} images"
        if not self.fixations:
            return heading
        return (
            f"{heading}, {self.fixations:,} fixations\n"
            f"fixations left out, outside their image or without coordinates: {self.outside:,} · "
            f"images without a fixation: {len(self.unseen):,}"
        )

    def to_json(self) -> str:
        """All numbers and the change by every edit as JSON: undefined values as null, infinite ones as text."""
        kinds = {}
        for kind, found in self.kinds.items():
            by_alpha = [
                {**span._asdict(), **at._asdict()}
                for span, at in zip(found.alpha_spans, found.shift.by_alpha, strict=True)
            ]
            kinds[kind] = {**asdict(found.shift), "by_alpha": by_alpha}
        content = {**asdict(self), "changes": [c._asdict() for c in self.changes], "kinds": kinds}
        return json.dumps(_plain({**content, "definitions": DEFINITIONS}), allow_nan=False)


def _plain(value: object) -> object:
    """A value for JSON, which has neither NaN nor infinity."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def draw_shift(study: ShiftStudy, path: Path) -> None:
    """Draw the mean change over α, one panel for each kind of edit, and save the figure.

    Args:
        study: The study.
        path: File of the figure; its ending chooses the format: .png, .pdf or .svg.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('The figure needs matplotlib: pip install "augsal-transforms[viz]".') from error
    kinds = {kind: found for kind, found in study.kinds.items() if found.alpha_spans}
    figure = Figure(figsize=(1 + 2.6 * len(kinds), 3.2), layout="constrained")
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axis, (kind, found) in zip(axes, kinds.items(), strict=True):
        shift, places = found.shift, [(span.low + span.high) / 2 for span in found.alpha_spans]
        axis.axhline(0, color="0.6", linewidth=1)
        axis.errorbar(
            places,
            [at.mean for at in shift.by_alpha],
            yerr=[at.ci95 for at in shift.by_alpha],
            fmt="o-",
            color="#0072B2",
            markersize=5,
            capsize=3,
            label=kind,
        )
        axis.set_xticks(places, [str(span) for span in found.alpha_spans])
        axis.margins(x=0.25)
        axis.set_title(f"{kind}, {shift.images} images\nt = {shift.t:.1f}, p = {shift.p:.1g}", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("change of gaze in the edit mask\n(1 = the image's mean density)", fontsize=9)
    figure.supxlabel("α (bars: 95 % intervals over images)", fontsize=9)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix(".").lower(), dpi=150)

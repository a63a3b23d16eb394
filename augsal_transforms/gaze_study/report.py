"""A fixation-shift study as a table and as JSON, each number beside its definition."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from augsal_transforms.gaze_study.shift import GazeChange, KindShift, compare_kinds

DEFINITIONS = {
    "change": "share of the gaze inside the edit mask over the mask's share of the image (1: as a blind observer), "
    "after the edit less before it",
    "mean": "of the change over images; each counts with its mean over strengths, in 'all kinds' over kinds",
    "t, p": "Student's t of the images, paired with their originals, two-sided; not corrected for the number of kinds",
    "p rise": "one-sided, against 'no rise'",
    "d": "Cohen's d of paired samples, the mean over the standard deviation of the images' changes",
    "undefined": "images of which nobody looked at the original or at any edit, or whose masks are empty; left out",
    "±": "95 % interval of a mean over the images that have edits of this strength",
}


@dataclass(frozen=True, kw_only=True)
class ShiftStudy:
    """The changes of gaze in a study.

    Attributes:
        source: Whose study.
        changes: Of each edit.
        fixations: How many entered; 0 where the gaze is an observer's density.
        outside: How many lay outside their image and were left out.
        unseen: The images without a fixation.
    """

    source: str
    changes: tuple[GazeChange, ...]
    fixations: int = 0
    outside: int = 0
    unseen: tuple[str, ...] = ()

    @cached_property
    def kinds(self) -> dict[str, KindShift]:
        """See ``compare_kinds``."""
        return compare_kinds(self.changes)

    def table(self) -> str:
        """The test by kind, the means by strength, and what the words mean."""
        lines = [self._heading(), f"{'kind':16s} images undefined    mean       t        p   p rise       d"]
        for kind, found in self.kinds.items():
            s = found.shift
            numbers = f"{s.mean:+7.3f} {s.t:7.2f} {s.p:8.2g} {s.p_rise:8.2g} {s.effect:+7.2f}"
            lines.append(f"{kind:16s} {s.images:6d} {s.undefined:9d} {numbers}")
        lines.append(f"{'strength':27s} images    mean ± 95 %")
        for kind, found in self.kinds.items():
            for level, at in zip(found.levels, found.shift.by_strength, strict=True):
                reach = "" if math.isnan(at.reach) else f" ± {at.reach:.3f}"
                lines.append(f"{f'{kind} {level}':27s} {at.images:6d} {at.mean:+7.3f}{reach}")
        return "\n".join([*lines, *(f"{name}: {definition}" for name, definition in DEFINITIONS.items())])

    def _heading(self) -> str:
        edits, images = len(self.changes), len({change.original for change in self.changes})
        heading = f"{self.source}: {edits:,} edits of {images:,} images"
        if not self.fixations:
            return heading
        return (
            f"{heading}, {self.fixations:,} fixations\n"
            f"outside their image, left out: {self.outside:,} · images shown without any: {len(self.unseen):,}"
        )

    def to_json(self) -> str:
        """Everything, every edit's change too; undefined values as null."""
        kinds = {}
        for kind, found in self.kinds.items():
            levels = [
                {**level._asdict(), **at._asdict()}
                for level, at in zip(found.levels, found.shift.by_strength, strict=True)
            ]
            kinds[kind] = {**asdict(found.shift), "by_strength": levels}
        content = {**asdict(self), "changes": [c._asdict() for c in self.changes], "kinds": kinds}
        return json.dumps(_plain({**content, "definitions": DEFINITIONS}), allow_nan=False)


def _plain(value: object) -> object:
    """The same for JSON, which has neither NaN nor infinity."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


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

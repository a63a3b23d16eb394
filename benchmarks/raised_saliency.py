"""Do edits raise gaze in their region, with and without a gate? Judged by whoever took no part in choosing them.

    python benchmarks/raised_saliency.py --data OSIE --judges runs/judges/imagenet runs/judges/classical
    python benchmarks/raised_saliency.py --scenes 60

On photographs, judges of people's gaze (``judges.py``) look at originals and edits; on scenes the synthetic observer
does. The measure is an edit's rise, log g_E − log g, where g is the share of gaze in the edit mask. Every image gets
the edits of ``EDITS``. A gate with the predictor ``photographs``, or ``bundled`` on scenes, then chooses between the
first two of each kind. The tests are paired t-tests over images. Photographs are read at half size, and have no
captions. Rows are written to ``--out`` image by image; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms import Brightness, Color, Contrast, SaliencyEditor, SaliencyPredictor
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.saliency_gate import gaze_rise, gaze_share
from augsal_transforms.gaze_study.statistics import paired_t
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.scenes.observer import fixation_density, observe
from augsal_transforms.scenes.scenes import render_scene

EDITS: dict[str, tuple[Edit, ...]] = {
    "contrast": (Contrast(1.2), Contrast(1.5), Contrast(0.8)),
    "brightness": (Brightness(0.05), Brightness(0.15), Brightness(-0.15)),
    "color": (Color("red", 0.3), Color("yellow", 0.3), Color("blue", 0.3), Color("red", 0.8)),
}
CANDIDATES = 2  # of each kind, the first of its edits; the others are measured without a gate alone
PARTS = {"tuning": slice(300, 400), "proof": slice(400, 520)}  # of names in the order of their hashes
SCENES = 9  # series of the scenes that nothing was trained on
MARGINS = (0.0, 0.01, 0.02)
Predict = Callable[[list[Tensor]], list[Tensor]]
Item = tuple[str, Tensor, Tensor, str, dict[str, Predict]]  # name, image, map, caption, and who judges


def read_photographs(data: Path, part: str, limit: int | None, judges: Sequence[str]) -> Iterator[Item]:
    """Read the photographs of a part at half their size, each with its judges."""
    from judges import load_judge

    layout, loaded = open_layout(data), {Path(name).name: load_judge(name).predict for name in judges}
    numbers = {name: number for number, name in enumerate(layout.names)}
    ordered = sorted(numbers, key=lambda name: hashlib.sha256(f"osie{name}".encode()).hexdigest())
    for name in ordered[PARTS[part]][:limit]:
        raw = layout[numbers[name]]
        image = to_rgb_image(raw["image"]).as_subclass(Tensor)
        size = (image.shape[-2] // 2, image.shape[-1] // 2)
        small = (resize(image.float() / 255, size).clamp(0, 1) * 255).round().to(torch.uint8)
        yield name, small, to_saliency_map(raw["saliency_map"], size).as_subclass(Tensor), "", loaded


def render_scenes(count: int) -> Iterator[Item]:
    """Render scenes, each with the synthetic observer as its judge."""
    for number in range(count):
        scene = render_scene(number, SCENES)

        def look(images: list[Tensor], objects: Any = scene.objects) -> list[Tensor]:
            return [fixation_density(image, objects) for image in images]

        seen = observe(scene.image, scene.objects, seed=number)
        yield f"scene-{number}", scene.image, seen, scene.caption, {"observer": look}


def measure(editor: SaliencyEditor, gate: Predict, item: Item) -> list[dict[str, Any]]:
    """Make every edit of an image; returns its rises by the gate's predictor and by each judge."""
    name, image, saliency_map, caption, judges = item
    edits = [edit for some in EDITS.values() for edit in some]
    results = editor.edit([image], [saliency_map], [caption], [edits])
    if not results[0].is_edited:
        return []
    images, mask = [image, *(result.image for result in results)], results[0].edit_mask.double()
    rises = {}
    for who, predict in {"gate": gate, **judges}.items():
        shares = torch.stack([gaze_share(one.double(), mask)[0] for one in predict(images)])
        rises[who] = gaze_rise(shares[0], shares[1:]).tolist()
    return [
        {
            "image": name,
            "kind": result.kind,
            "edit": f"{result.color} {result.alpha:g}".strip(),
            "strength": result.strength,
            "rises": {who: values[n] for who, values in rises.items()},
        }
        for n, result in enumerate(results)
    ]


def choose(rows: Sequence[dict[str, Any]], how: str, margin: float) -> dict[str, Any] | None:
    """The edit that a gate chooses of an image's candidates, in their order; ``None`` if none passes."""
    passing = [row for row in rows[:CANDIDATES] if row["rises"]["gate"] > margin]
    return None if not passing else passing[0] if how == "first" else max(passing, key=lambda row: row["rises"]["gate"])


def describe(rows: Sequence[dict[str, Any]], judge: str, images: int) -> str:
    """Share of edits that raise a judge's gaze, mean rise, and the paired t-test over images."""
    rises = [row["rises"][judge] for row in rows]
    if len(rises) < 2:
        return f"{len(rises)} of {images} images"
    t, p = paired_t(rises)
    raised = sum(rise > 0 for rise in rises) / len(rises)
    mean = sum(rises) / len(rises)
    return f"{len(rises):4d} of {images} images | raised {raised:4.0%} | mean {mean:+.4f} | t {t:+5.1f} | p {p:.1e}"


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Print one line for each edit, and one for each kind, choice and margin of the gate; by each judge."""
    images = list(dict.fromkeys(row["image"] for row in rows))
    for judge in [who for who in rows[0]["rises"] if who != "gate"]:
        print(f"\njudge {judge}, {len(images)} images\nwithout a gate")
        for edit in dict.fromkeys((row["kind"], row["edit"]) for row in rows):
            some = [row for row in rows if (row["kind"], row["edit"]) == edit]
            print(f"  {' '.join(edit):18s} {describe(some, judge, len(images))}")
        print("with the gate")
        for kind in EDITS:
            each = [[row for row in rows if (row["image"], row["kind"]) == (image, kind)] for image in images]
            for how, margin in ((how, margin) for how in ("first", "most") for margin in MARGINS):
                chosen = [row for some in each if (row := choose(some, how, margin))]
                print(f"  {kind:10s} {how:5s} > {margin:.2f} {describe(chosen, judge, len(images))}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="OSIE's folder")
    parser.add_argument("--judges", nargs="+", default=[], help="folders of judges")
    parser.add_argument("--part", choices=list(PARTS), default="proof")
    parser.add_argument("--scenes", type=int, default=0, help="number of scenes, in place of photographs")
    parser.add_argument("--limit", type=int, help="number of photographs")
    parser.add_argument("--out", type=Path, default=Path("raised_saliency.jsonl"))
    parser.add_argument("--quiet", action=Quiet)
    given = parser.parse_args(arguments)
    if bool(given.scenes) == bool(given.data and given.judges):
        parser.error("give --data with --judges, or --scenes")
    held = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    measured = {row["image"] for row in held}
    gate = SaliencyPredictor.from_pretrained("bundled" if given.scenes else "photographs").predict
    items = (
        render_scenes(given.scenes)
        if given.scenes
        else read_photographs(given.data, given.part, given.limit, given.judges)
    )
    editor = SaliencyEditor.from_pretrained("bundled")
    with given.out.open("a") as file:
        for item in progress_bar(items):
            if item[0] not in measured:
                rows = measure(editor, gate, item)
                file.write("".join(f"{json.dumps(row)}\n" for row in rows))
                file.flush()
                held += rows
    report(held)


if __name__ == "__main__":
    main()

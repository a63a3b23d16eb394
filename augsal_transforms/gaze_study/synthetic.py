"""A fixation-shift study of the synthetic observer on procedural scenes, in place of people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count as integers
from itertools import islice

from torch import Tensor

from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import COLORS, Brightness, Color, Contrast, Edit
from augsal_transforms.editor.results import ImageAnalysis
from augsal_transforms.gaze_study.report import ShiftStudy
from augsal_transforms.gaze_study.shift import GazeChange, gaze_changes
from augsal_transforms.scenes.observer import fixation_density, observe
from augsal_transforms.scenes.scenes import Scene, SceneObject, render_scene

SERIES = 2024  # held out: nothing was trained or tuned on it
BRIGHTNESS, CONTRAST, COLOR = (0.05, 0.15, 0.25), (1.2, 1.5, 1.8), (0.3, 0.55, 0.8)
EDITS = len(BRIGHTNESS) + len(CONTRAST) + len(COLOR)  # of a scene
Judge = Callable[[Tensor, int], Tensor]


@dataclass
class ObservedScene:
    """A scene as the synthetic observer sees it.

    Attributes:
        scene: The scene, with its image, objects and caption.
        saliency_map: (1, H, W), the observer's map of it, in [0, 1].
        peak: The object under the map's maximum; ``None`` if the background is there.
    """

    scene: Scene
    saliency_map: Tensor
    peak: SceneObject | None

    @classmethod
    def render(cls, index: int, series: int) -> ObservedScene:
        """Render scene ``index`` of a series and observe it."""
        scene = render_scene(index, series)
        saliency_map = observe(scene.image, scene.objects, seed=index)
        row, column = divmod(int(saliency_map[0].argmax()), saliency_map.shape[-1])
        under = [thing for thing in scene.objects if thing.mask[row, column]]
        return cls(scene, saliency_map, under[0] if under else None)


def edits_of_scene(number: int) -> list[Edit]:
    """Nine edits: three kinds at three α each, from weak to strong; colours take turns over scenes."""
    color = list(COLORS)[number % len(COLORS)]
    kinds = [Brightness(a) for a in BRIGHTNESS], [Contrast(a) for a in CONTRAST], [Color(color, a) for a in COLOR]
    return [edit for kind in kinds for edit in kind]


def analyse_scenes(
    editor: SaliencyEditor, samples: Sequence[ObservedScene]
) -> list[tuple[ObservedScene, ImageAnalysis]]:
    """Analyse scenes for editing; those without an object under the peak, or with an empty region, are left out."""
    seen = [s for s in samples if s.peak is not None]
    analysed = editor.analyse(
        [s.scene.image for s in seen], [s.saliency_map for s in seen], [s.scene.caption for s in seen]
    )
    return [(s, a) for s, a in zip(seen, analysed, strict=True) if a.edit_mask.any()]


def gaze_rises(
    judge: Judge, originals: Sequence[Tensor], edited: Sequence[Tensor], regions: Sequence[Tensor]
) -> Tensor:
    """``gaze_changes`` as a judge sees them.

    Args:
        judge: Function of an image (3, H, W) and the index of its original that returns its gaze, (1, H, W).
        originals: N images (3, H, W).
        edited: N·S edited images, image by image.
        regions: N edit masks (1, H, W).

    Returns:
        (N, S) float64.
    """
    each = len(edited) // len(originals)
    before = [judge(image, n) for n, image in enumerate(originals)]
    return gaze_changes(before, [judge(image, n // each) for n, image in enumerate(edited)], regions)


def observe_study(
    editor: SaliencyEditor,
    *,
    scenes: int = 50,
    series: int = SERIES,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> ShiftStudy:
    """Run the study of Sec. 5.4 with the synthetic observer on edits of procedural scenes.

    Args:
        editor: An editor that was trained on scenes, such as ``"bundled"``.
        scenes: Number of scenes with an object under the peak; those with an empty region are then left out.
        series: Series of the scenes.
        progress: Wrapper of the batches' numbers that is iterated over, such as ``tqdm``.
    """
    rendered = (ObservedScene.render(index, series) for index in integers())
    wanted = islice((scene for scene in rendered if scene.peak is not None), scenes)
    changes, size = list[GazeChange](), editor.config.batch_size
    for _ in progress(range(-(-scenes // size))):
        changes += _observe_batch(editor, list(islice(wanted, size)), len(changes) // EDITS)
    return ShiftStudy(source="synthetic observer, which is no person", changes=tuple(changes))


def _observe_batch(editor: SaliencyEditor, samples: list[ObservedScene], first: int) -> list[GazeChange]:
    """The changes of gaze by all edits of some scenes, which are numbered from ``first`` on."""
    pairs = analyse_scenes(editor, samples)
    analyses, shown = [a for _, a in pairs], [s.scene for s, _ in pairs]
    edits = [edits_of_scene(first + n) for n in range(len(pairs))]
    if not pairs:
        return []

    def observer(image: Tensor, number: int) -> Tensor:
        return fixation_density(image, shown[number].objects)

    edited = [result.image for result in editor.apply(analyses, edits)]
    rises = gaze_rises(observer, [s.image for s in shown], edited, [a.edit_mask for a in analyses])
    return [
        GazeChange(f"scene {first + number}", edit.kind, edit.alpha_value, change)
        for number, row in enumerate(rises.tolist())
        for edit, change in zip(edits[number], row, strict=True)
    ]

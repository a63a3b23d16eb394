"""Maps that only rendered scenes can have: true maps of edited images, and maps of more viewers.

They show how much better maps could help, because the synthetic observer can look at any picture again.
"""

from __future__ import annotations

from collections.abc import Callable

from table2.training_set import Alternatives, Pair, read_edits, shrink
from torch import Tensor

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.progress import progress_bar
from augsal_transforms.scenes.observer import fixation_density, observe
from augsal_transforms.scenes.scenes import Scene, render_scene
from augsal_transforms.store.store import EditStore

OTHER_GROUPS = 9  # other groups of viewers for each image: as many as it has edits


def true_maps(data: SaliencyFolder, series: int, store: EditStore, size: int) -> Alternatives:
    """Pair each edited image with its true map: the original's map times the ratio of the two fixation densities."""

    def of_image(image: Tensor, saliency_map: Tensor, scene: Scene, number: int) -> list[Pair]:
        before, pairs = fixation_density(image, scene.objects), []
        for _, edited, _ in read_edits(store, image):
            changed = saliency_map * fixation_density(edited, scene.objects) / before
            pairs.append((edited, changed / changed.amax()))
        return pairs

    return _each(of_image, data, series, size)


def other_viewers(data: SaliencyFolder, series: int, size: int) -> Alternatives:
    """Pair each unedited image with maps of other viewers than those of its own map."""

    def of_image(image: Tensor, saliency_map: Tensor, scene: Scene, number: int) -> list[Pair]:
        seeds = (1_000_000 + 1000 * number + group for group in range(OTHER_GROUPS))
        return [(image, observe(image, scene.objects, seed=seed)) for seed in seeds]

    return _each(of_image, data, series, size)


def _each(
    pairs_of: Callable[[Tensor, Tensor, Scene, int], list[Pair]], data: SaliencyFolder, series: int, size: int
) -> Alternatives:
    alternatives = []
    for number in progress_bar(range(len(data)), "image"):
        image = to_rgb_image(data[number]["image"]).as_subclass(Tensor)
        height, width = image.shape[-2:]
        saliency_map = to_saliency_map(data[number]["saliency_map"], (height, width)).as_subclass(Tensor)
        pairs = pairs_of(image, saliency_map, render_scene(number, series, height), number)
        alternatives.append([(shrink(picture, size), shrink(its_map, size)) for picture, its_map in pairs])
    return alternatives

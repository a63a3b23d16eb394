"""Data sets on disk: images, saliency maps, captions and fixations."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augsal_transforms.data.annotations import AnnotatedFolder
    from augsal_transforms.data.fixations import FixatedFolder, count_fixations, read_fixations
    from augsal_transforms.data.folders import SaliencyFolder
    from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
    from augsal_transforms.data.layouts import LAYOUTS, open_layout
    from augsal_transforms.data.made_maps import make_saliency_map
    from augsal_transforms.data.pysaliency_sets import PysaliencyDataset

__all__ = [
    "LAYOUTS",
    "AnnotatedFolder",
    "FixatedFolder",
    "PysaliencyDataset",
    "SaliencyFolder",
    "count_fixations",
    "make_saliency_map",
    "open_layout",
    "read_fixations",
    "read_image",
    "to_rgb_image",
    "to_saliency_map",
]

# Imported when they are asked for (PEP 562), so that help texts list `LAYOUTS` without torch.
_HOMES = {
    "AnnotatedFolder": "annotations",
    "FixatedFolder": "fixations",
    "count_fixations": "fixations",
    "read_fixations": "fixations",
    "SaliencyFolder": "folders",
    "read_image": "images",
    "to_rgb_image": "images",
    "to_saliency_map": "images",
    "LAYOUTS": "layouts",
    "open_layout": "layouts",
    "PysaliencyDataset": "pysaliency_sets",
    "make_saliency_map": "made_maps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

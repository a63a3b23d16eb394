"""Data sets on disk: images, saliency maps, captions and fixations."""

from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.data.fixations import FixatedFolder, count_fixations, read_fixations
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import LAYOUTS, open_layout

__all__ = [
    "LAYOUTS",
    "AnnotatedFolder",
    "FixatedFolder",
    "SaliencyFolder",
    "count_fixations",
    "open_layout",
    "read_fixations",
    "read_image",
    "to_rgb_image",
    "to_saliency_map",
]

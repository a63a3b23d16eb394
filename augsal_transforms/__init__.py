"""Latent-diffusion data augmentation for saliency prediction (Aydemir et al., ECCV 2024)."""

from augsal_transforms.augmented_dataset import AugmentedDataset
from augsal_transforms.config import EditConfig
from augsal_transforms.editor.calibrate import calibrate
from augsal_transforms.editor.calibration import Calibration
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import Brightness, Color, Contrast
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.losses import AugmentedSaliencyLoss, MaskedEditingLoss, SaliencyLoss
from augsal_transforms.readouts.predictor import SaliencyPredictor
from augsal_transforms.store import EditStore
from augsal_transforms.transform import SaliencyDiffusionAugment
from augsal_transforms.tv_tensors import EditMask, SaliencyMap

__all__ = [
    "AugmentedDataset",
    "AugmentedSaliencyLoss",
    "Brightness",
    "Calibration",
    "Color",
    "Contrast",
    "EditConfig",
    "EditMask",
    "EditStore",
    "EditedImage",
    "MaskedEditingLoss",
    "SaliencyDiffusionAugment",
    "SaliencyEditor",
    "SaliencyLoss",
    "SaliencyMap",
    "SaliencyPredictor",
    "calibrate",
]

"""Latent-diffusion data augmentation for saliency prediction (Aydemir et al., ECCV 2024)."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augsal_transforms.augmented_dataset import AugmentedDataset
    from augsal_transforms.collation import collate_edited
    from augsal_transforms.config import EditConfig
    from augsal_transforms.diffusion.calibration import Calibration
    from augsal_transforms.editor.calibrate import calibrate
    from augsal_transforms.editor.editor import SaliencyEditor
    from augsal_transforms.editor.edits import Brightness, Color, Contrast
    from augsal_transforms.editor.results import EditedImage
    from augsal_transforms.editor.saliency_gate import SaliencyGate
    from augsal_transforms.losses import AugmentedSaliencyLoss, GazeChangeLoss, MaskedEditingLoss, SaliencyLoss
    from augsal_transforms.readouts.predictor import SaliencyPredictor
    from augsal_transforms.store.store import EditStore
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
    "GazeChangeLoss",
    "MaskedEditingLoss",
    "SaliencyDiffusionAugment",
    "SaliencyEditor",
    "SaliencyGate",
    "SaliencyLoss",
    "SaliencyMap",
    "SaliencyPredictor",
    "calibrate",
    "collate_edited",
]

_HERE = Path(__file__).parent

# Imported when they are asked for (PEP 562), so that `augsal --help` does not wait for torch.
_HOMES = {
    "AugmentedDataset": "augmented_dataset",
    "collate_edited": "collation",
    "EditConfig": "config",
    "calibrate": "editor.calibrate",
    "Calibration": "diffusion.calibration",
    "SaliencyEditor": "editor.editor",
    "SaliencyGate": "editor.saliency_gate",
    "Brightness": "editor.edits",
    "Color": "editor.edits",
    "Contrast": "editor.edits",
    "EditedImage": "editor.results",
    "AugmentedSaliencyLoss": "losses",
    "GazeChangeLoss": "losses",
    "MaskedEditingLoss": "losses",
    "SaliencyLoss": "losses",
    "SaliencyPredictor": "readouts.predictor",
    "EditStore": "store.store",
    "SaliencyDiffusionAugment": "transform",
    "EditMask": "tv_tensors",
    "SaliencyMap": "tv_tensors",
}


# `adapters` is installed inside this package and stands beside it in a checkout, which a Python started in the
# checkout's root finds first.
if not (_HERE / "adapters").is_dir() and (_HERE.parent / "adapters" / "unisal.py").is_file():
    __path__.append(str(_HERE.parent))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("augsal-transforms")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})

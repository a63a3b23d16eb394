"""Sources of predictions: a folder of stored maps, a predictor, or the user's own function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.data.images import read_image, to_saliency_map
from augsal_transforms.data.listing import list_images
from augsal_transforms.data.names import printable, to_name
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.photometry import to_unit_range
from augsal_transforms.readouts.contract import PredictsSaliency, check_predictor, predict_maps
from augsal_transforms.readouts.predictor import SaliencyPredictor

Model = Callable[[Tensor], Tensor]
Predict = Callable[[str, Tensor], Tensor]


class UnreadablePredictionError(ValueError):
    """A stored prediction that cannot be read: its image is left out, and the others are scored."""


def load_model(name: str, device: str = "cpu") -> Model:
    """A saliency model as a function of an image (3, H, W) in [0, 1] that returns a map (1, h, w).

    Args:
        name: A predictor as ``load_predictor`` takes it; or ``module:function``, a function (or another callable) of
            this form.
        device: Device of the predictor, and of the images that a function is given.

    Raises:
        ValueError: If there is no such module, or it has no such function.
    """
    if _is_import(name):
        function = find_function(name)
        if not _predicts(function):
            return lambda image: function(image.to(device))
    predictor = load_predictor(name, device)
    return lambda image: predict_maps(predictor, [image.to(device) if _is_import(name) else image])[0]


def load_predictor(name: str, device: str = "cpu") -> PredictsSaliency:
    """A predictor of saliency by its name on the command line.

    Args:
        name: ``"photographs"``; ``"bundled"``; a folder of readouts, as ``augsal train-readouts`` writes it; or
            ``module:object``, an object with a method ``predict``.
        device: Device of a predictor that is loaded here.

    Raises:
        FileNotFoundError: If there is no such folder.
        TypeError: If the object has no such method.
        ValueError: If there is no such module or object, or if files are broken.
    """
    if _is_import(name):
        return check_predictor(find_function(name))
    return SaliencyPredictor.from_pretrained(name, device=device)


def _is_import(name: str) -> bool:
    return ":" in name and not Path(name).is_dir()


def _predicts(value: Any) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "predict", None))


def find_function(name: str) -> Any:
    """The function, or the object with a method ``predict``, that ``module:function`` names.

    Raises:
        ValueError: If there is no such module, or it has no such function. An error inside the module is raised as
            it is.
    """
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise  # the module is there; what it imports is not
        raise ValueError(
            f"`{name}`: there is no module {module!r} here; is it installed, or in this folder?"
        ) from error
    if not (callable(function) or _predicts(function)):
        raise ValueError(f"`{name}`: the module {module!r} has no function {attribute!r}.")
    return function


def run_model(model: Model) -> Predict:
    """Predictions of a model. An error that the model raises reaches the caller as it is.

    Args:
        model: Function of an image (3, H, W) in [0, 1] that returns a map (1, h, w).
    """

    @torch.no_grad()
    def predict(_: str, image: Tensor) -> Tensor:
        return model(to_unit_range(image))

    return predict


def check_prediction(prediction: Tensor, name: str, size: tuple[int, int]) -> Tensor:
    """A prediction (1, h, w) in double precision on the CPU, where metrics are computed.

    Args:
        prediction: The map that a model or a file gave for an image.
        name: The image's name.
        size: The image's (H, W).

    Raises:
        TypeError: If it is no tensor of real numbers.
        ValueError: If it is not (1, h, w), or has the image's height for its width.
    """
    if not isinstance(prediction, Tensor) or prediction.is_complex():
        got = prediction.dtype if isinstance(prediction, Tensor) else type(prediction).__name__
        raise TypeError(f"`prediction` of {name!r} must be a tensor of real numbers (1, h, w), got {got}.")
    shape = tuple(prediction.shape)
    if len(shape) != 3 or shape[0] != 1 or 0 in shape:
        raise ValueError(
            f"`prediction` of {name!r} must be one map (1, h, w), got {shape}. The model is given one image (3, H, W) "
            "and returns one map: take [0] of a batch, or [None] of a map (h, w)."
        )
    if shape[1:] == size[::-1] and size[0] != size[1]:
        raise ValueError(
            f"`prediction` of {name!r} is {shape[1:]} (h, w) for an image of {size}: height and width are exchanged. "
            "Transpose it; if it was made of an image that EXIF turns, predict the image as it is stored."
        )
    return prediction.detach().as_subclass(Tensor).cpu().double()


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions that are image files.

    Attributes:
        paths: The file of each image by name.
    """

    paths: Mapping[str, Path]

    def __call__(self, name: str, _: Tensor) -> Tensor:
        """The stored map (1, h, w) of an image.

        Raises:
            UnreadablePredictionError: If its file cannot be read.
        """
        try:
            picture = read_image(self.paths[name])
            prediction: Tensor = to_saliency_map(picture, (picture.height, picture.width)).as_subclass(Tensor)
        except Exception as error:
            if not belongs_to_image(error):
                raise
            raise UnreadablePredictionError(f"its prediction, {self.paths[name]}: {error}") from error
        return prediction


def read_predictions(folder: Path, names: Sequence[str]) -> StoredPredictions:
    """Predictions stored as image files, ``NAME.png`` or another format, at any size.

    A file belongs to the image whose name is the end of its path: ``a.png`` and ``maps/a.png`` to ``a``,
    ``Action/001.png`` to CAT2000's ``Action/001``.

    Args:
        folder: Folder of the files, searched with its subfolders.
        names: Names of the images that need a prediction.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If an image has no prediction, or two.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder of predictions.")
    stored = list_images(folder)
    paths = _match(folder, stored, names)
    missing = [name for name in names if name not in paths]
    if missing:
        found = (
            f"the first file there is {printable(stored[0].relative_to(folder))}"
            if stored
            else "no image file is there"
        )
        raise ValueError(
            f"{folder} has no prediction of {len(missing)} of {len(names)} images. The first is {missing[0]!r}, whose "
            f"file is to be {missing[0]}.png, or of another ending; {found}."
        )

    return StoredPredictions(paths)


def _match(folder: Path, stored: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    """The file of each image by name; the names of some may be missing."""
    wanted = {to_name(name): name for name in names}
    depths = {name.count("/") + 1 for name in names}
    paths: dict[str, Path] = {}
    for path in stored:
        parts = path.relative_to(folder).with_suffix("").parts
        for depth in depths:
            name = wanted.get(to_name("/".join(parts[-depth:])))
            if name is not None and paths.setdefault(name, path) != path:
                raise ValueError(f"{path} and {paths[name]} are both predictions of {name!r}; keep one of them.")
    return paths
